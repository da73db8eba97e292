"""Alignment of two sets of poses of the same frames.

A reconstruction from images alone may be turned, displaced and mirrored as a whole. So one rotation
G, one displacement t and the hand are fitted to all frames:

``R_true ≈ [Z] R_est G``,   ``d_true ≈ d_est + (R_est t)_xy``

with Z for the mirrored hand (:mod:`temporem.physics.rigid_transform`). The fit is robust: frames
whose pose is plainly wrong do not count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from temporem.physics.poses import Poses
from temporem.physics.rigid_transform import RigidTransform, other_hand
from temporem.physics.rotations import geodesic_degrees, nearest_rotation

TOLERANCE_DEGREES = 30.0
"""Angle from which all errors count alike: such a pose was not found."""

_CANDIDATES = 200  # frames whose own difference is tried as the common one
_ROUNDS = 20


def align_poses(
    estimated: Poses,
    true: Poses,
    *,
    mirrored: bool | None = None,
) -> tuple[RigidTransform, float]:
    """Find the transform that brings estimated poses closest to the true ones.

    For either hand, G is the robust mean of ``([Z] R_est)ᵀ R_true``; the hand with smaller errors
    is taken. t minimises the absolute residuals of the frames that this G explains.

    Args:
        estimated: poses of N frames.
        true: poses of the same frames in the other description.
        mirrored: the hand, where it is known.

    Returns:
        The transform, and the median angle that the other hand leaves, degrees.
    """
    fits = _both_hands(estimated.rotations, true.rotations)
    if mirrored is None:
        mirrored = _is_mirrored(fits)
    mean, angle = fits[mirrored]
    residual = true.shifts_angstrom - estimated.shifts_angstrom
    shift = _common_shift(estimated.rotations, residual, angle)
    return RigidTransform(mean, mirrored, shift), float(fits[not mirrored][1].median())


def align_rotations(rotations: Tensor, true_rotations: Tensor) -> Tensor:
    """Estimated rotations in the reference frame and hand of the true ones, ``(N, 3, 3)``."""
    fits = _both_hands(rotations, true_rotations)
    mirrored = _is_mirrored(fits)
    return RigidTransform(fits[mirrored][0], mirrored, torch.zeros(3)).rotations(rotations)


def _both_hands(rotations: Tensor, true_rotations: Tensor) -> list[tuple[Tensor, Tensor]]:
    """G and the angles that it leaves, for the hand that was estimated and for its mirror image."""
    fits = []
    for hand in (rotations, other_hand(rotations)):
        mean = robust_mean_rotation(hand.mT @ true_rotations)
        fits.append((mean, geodesic_degrees(hand @ mean, true_rotations)))
    return fits


def _is_mirrored(fits: list[tuple[Tensor, Tensor]]) -> bool:
    cost = [float(angle.clamp(max=TOLERANCE_DEGREES).mean()) for _, angle in fits]
    return cost[1] < cost[0]


def robust_mean_rotation(differences: Tensor) -> Tensor:
    """The rotation that most of ``(N, 3, 3)`` agree on: float64 ``(3, 3)``.

    It begins at the one of up to 200 of them with the smallest mean angle to all, where angles
    above 30° count as 30°. Then chordal means of those within 30°, weighted by the inverse of their
    angle, lead to the geodesic median (Weiszfeld 1937; Hartley et al. 2011 for rotations).
    """
    n = len(differences)
    candidates = differences[:: max(1, n // _CANDIDATES)]
    cosines = (torch.einsum("cij,nij->cn", candidates, differences) - 1) / 2
    angles = torch.rad2deg(cosines.clamp(-1, 1).acos()).clamp(max=TOLERANCE_DEGREES)
    mean = candidates[int(angles.mean(1).argmin())]
    for _ in range(_ROUNDS):
        angle = geodesic_degrees(differences, mean)
        weight = (angle < TOLERANCE_DEGREES) / angle.clamp(min=1e-3)
        mean = nearest_rotation((weight[:, None, None] * differences).sum(0))
    return mean


def _common_shift(rotations: Tensor, residual: Tensor, angle: Tensor) -> Tensor:
    """Robust solution t of ``(R t)_xy = residual (N, 2)`` over frames whose angle is small.

    Least absolute residuals, by iteratively reweighted least squares: shifts may be wrong too.
    """
    good = angle < TOLERANCE_DEGREES
    rows = rotations[good, :2].reshape(-1, 3)
    target = residual[good].reshape(-1)
    if len(rows) < 4:  # one frame: the displacement along its beam is not seen
        return torch.zeros(3, dtype=rotations.dtype)
    t = torch.zeros(3, dtype=rotations.dtype)
    weight = torch.ones_like(target)
    for _ in range(_ROUNDS):
        t = torch.linalg.lstsq(rows * weight[:, None], (target * weight)[:, None]).solution[:, 0]
        weight = (rows @ t - target).abs().clamp(min=1e-2).rsqrt()
    return t
