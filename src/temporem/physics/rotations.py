"""Rotations, and conversion of RELION's Euler angles and origins.

``R`` maps molecule to camera coordinates, vectors ``(x, y, z)``; a frame samples ``V̂(Rᵀk)``.
"""

from __future__ import annotations

import roma
import torch
from torch import Tensor


def euler_to_rotation(angles_degrees: Tensor) -> Tensor:
    """RELION ZYZ angles (rot, tilt, psi), degrees ``(..., 3)`` → rotations R ``(..., 3, 3)``.

    ``R = (Z(rot) Y(tilt) Z(psi))⁻¹`` with intrinsic axes.
    """
    return roma.euler_to_rotmat("ZYZ", list(angles_degrees.unbind(-1)), degrees=True).mT


def rotation_to_euler(rotations: Tensor) -> Tensor:
    """Rotations R ``(..., 3, 3)`` → RELION (rot, tilt, psi), degrees, tilt 0 … 180: ``(..., 3)``.

    At tilt 0 or 180 only rot ± psi is defined; psi is then 0.
    """
    m = rotations.mT
    tilt = torch.atan2(torch.hypot(m[..., 0, 2], m[..., 1, 2]), m[..., 2, 2])
    regular = tilt.sin() > 1e-6
    rot = torch.atan2(m[..., 1, 2], m[..., 0, 2])
    psi = torch.atan2(m[..., 2, 1], -m[..., 2, 0])
    # Gimbal lock: m is Z(rot), or Z(rot) turned over, and all of the angle goes to rot.
    locked_rot = torch.atan2(-m[..., 0, 1], m[..., 1, 1])
    rot = torch.where(regular, rot, locked_rot)
    psi = torch.where(regular, psi, torch.zeros_like(psi))
    return torch.rad2deg(torch.stack([rot, tilt, psi], dim=-1))


def random_rotations(n: int, generator: torch.Generator) -> Tensor:
    """Draw rotations uniformly from SO(3): float64 ``(n, 3, 3)``.

    Normalised draws from a 4-D Gaussian are uniform on the unit quaternions.
    """
    quaternions = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return roma.unitquat_to_rotmat(quaternions / quaternions.norm(dim=-1, keepdim=True))


def rotation_about_axis(axis: Tensor, angle_radians: Tensor) -> Tensor:
    """Right-handed rotation by ``angle_radians (...)`` about ``axis (..., 3)``: ``(..., 3, 3)``."""
    unit = axis / axis.norm(dim=-1, keepdim=True)
    return roma.rotvec_to_rotmat(unit * angle_radians[..., None])


def rotation_of_vector(vectors: Tensor) -> Tensor:
    """Rotation vectors ω, radians ``(..., 3)`` → rotations ``exp [ω]×``, ``(..., 3, 3)``.

    Rodrigues' formula, ``1 + sin θ/θ [ω]× + (1 − cos θ)/θ² [ω]×²``. Its derivatives are right at
    ω = 0 too, where learned poses start.
    """
    angle = vectors.norm(dim=-1)[..., None, None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    half = torch.sinc(angle / (2 * torch.pi))
    eye = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return eye + torch.sinc(angle / torch.pi) * cross + 0.5 * half.square() * (cross @ cross)


def vector_of_rotation(rotations: Tensor) -> Tensor:
    """Rotations ``(..., 3, 3)`` → their rotation vectors, no longer than π, ``(..., 3)``."""
    return roma.rotmat_to_rotvec(rotations)


def origin_to_shift(origin_angstrom: Tensor) -> Tensor:
    """Convert ``rlnOriginX/YAngst``, the shift that centres a particle, ↔ its displacement."""
    return -origin_angstrom


def geodesic_degrees(a: Tensor, b: Tensor) -> Tensor:
    """Angle of the rotation from one to the other, degrees: ``(..., 3, 3)`` → ``(...)``.

    The chord ``|A − B|² = 8 sin²(θ/2)`` keeps precision where θ is small.
    """
    chord = (a - b).flatten(-2).norm(dim=-1) / 8**0.5
    return torch.rad2deg(2 * chord.clamp(max=1).asin())


def nearest_rotation(matrices: Tensor) -> Tensor:
    """The rotation closest to a matrix ``(..., 3, 3)``; for a sum of rotations, their mean."""
    return roma.special_procrustes(matrices)
