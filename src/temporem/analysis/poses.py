"""Estimated poses against true ones, after the alignment that images leave open.

A reconstruction from images alone may be turned, displaced and mirrored as a whole. So one rotation
G, one displacement t and the hand are fitted to all frames before errors are read:

``R_true ≈ [Z] R_est G``,   ``d_true ≈ d_est + (R_est t)_xy``

with Z for the mirrored hand (:mod:`temporem.physics.pose_frames`). The fit is robust: frames whose
pose is plainly wrong have no say in it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from temporem.analysis.resampling import MovieBootstrap
from temporem.physics.pose_frames import FrameChange, other_hand
from temporem.physics.rotations import geodesic_degrees, nearest_rotation

CLOSE_DEGREES = 10.0
"""A pose within this angle of the true one is counted as found."""

TOLERANCE_DEGREES = 30.0
"""Larger errors all count alike: such a pose was not found."""

_CANDIDATES = 200  # frames whose own difference is tried as the common one
_ROUNDS = 20
_EXACT_DEGREES, _EXACT_ANGSTROM = 1e-2, 1e-2


@dataclass(frozen=True, eq=False)
class PoseAgreement:
    """Errors of the poses of n frames, aligned as a whole.

    Attributes:
        angle_degrees: angle between estimated and true rotation, ``(n,)``.
        shift_angstrom: distance between estimated and true displacement in the image, ``(n,)``.
        mirrored: whether the reconstruction is of the other hand.
        other_hand_degrees: median angle that is left with the hand that was not taken.
        rotation: G, ``(3, 3)`` nested.
        offset_angstrom: t, ``(3,)``.
    """

    angle_degrees: np.ndarray
    shift_angstrom: np.ndarray
    mirrored: bool
    other_hand_degrees: float
    rotation: list[list[float]]
    offset_angstrom: list[float]

    def at(self, rows: np.ndarray) -> PoseAgreement:
        """Of some of the frames."""
        return replace(
            self,
            angle_degrees=self.angle_degrees[rows],
            shift_angstrom=self.shift_angstrom[rows],
        )

    def alignment(self) -> dict[str, Any]:
        """All but the errors, as JSON has it."""
        document = asdict(self)
        return {k: v for k, v in document.items() if k not in ("angle_degrees", "shift_angstrom")}


def same_poses(
    rotations: Tensor, shifts_angstrom: Tensor, true_rotations: Tensor, true_shifts: Tensor
) -> bool:
    """Whether poses ``(N, 3, 3)`` and ``(N, 2)`` are the true ones, but for rounding."""
    angle = geodesic_degrees(rotations, true_rotations).max()
    shift = (shifts_angstrom - true_shifts).norm(dim=-1).max()
    return bool(angle < _EXACT_DEGREES) and bool(shift < _EXACT_ANGSTROM)


def align_poses(
    rotations: Tensor,
    shifts_angstrom: Tensor,
    true_rotations: Tensor,
    true_shifts: Tensor,
    *,
    mirrored: bool | None = None,
) -> tuple[FrameChange, float]:
    """The change of frame that brings estimated poses closest to the true ones.

    For either hand, G is the robust mean of ``([Z] R_est)ᵀ R_true``; the hand whose errors are
    smaller is taken. t is the least-squares solution of the frames that this G explains.

    Args:
        rotations: estimated, float64 ``(N, 3, 3)``.
        shifts_angstrom: ``(N, 2)``.
        true_rotations: ``(N, 3, 3)``.
        true_shifts: ``(N, 2)``.
        mirrored: the hand, where it is known.

    Returns:
        The change of frame, and the median angle in degrees of the other hand.
    """
    fits = []
    for hand in (rotations, other_hand(rotations)):
        mean = robust_mean_rotation(hand.mT @ true_rotations)
        fits.append((mean, geodesic_degrees(hand @ mean, true_rotations)))
    cost = [float(angle.clamp(max=TOLERANCE_DEGREES).mean()) for _, angle in fits]
    chosen = int(cost[1] < cost[0] if mirrored is None else mirrored)
    mean, angle = fits[chosen]
    shift = _common_shift(rotations, true_shifts - shifts_angstrom, angle)
    return FrameChange(mean, bool(chosen), shift), float(fits[1 - chosen][1].median())


def pose_agreement(
    rotations: Tensor,
    shifts_angstrom: Tensor,
    true_rotations: Tensor,
    true_shifts: Tensor,
    *,
    mirrored: bool | None = None,
) -> tuple[PoseAgreement, FrameChange]:
    """Errors of all N frames after :func:`align_poses`, and the alignment."""
    change, other = align_poses(
        rotations, shifts_angstrom, true_rotations, true_shifts, mirrored=mirrored
    )
    angle = geodesic_degrees(change.rotations(rotations), true_rotations)
    shift = (change.shifts(rotations, shifts_angstrom) - true_shifts).norm(dim=-1)
    agreement = PoseAgreement(
        angle_degrees=angle.numpy(),
        shift_angstrom=shift.numpy(),
        mirrored=change.mirrored,
        other_hand_degrees=other,
        rotation=change.rotation.tolist(),
        offset_angstrom=change.shift_angstrom.tolist(),
    )
    return agreement, change


def robust_mean_rotation(differences: Tensor) -> Tensor:
    """The rotation that most of ``(N, 3, 3)`` agree on: float64 ``(3, 3)``.

    Of up to 200 of them the one with the smallest mean angle to all, angles above 30° counting as
    30°; then chordal means of the frames within 30° of it, weighted by the inverse of their angle
    (Weiszfeld's iteration to the geodesic median).
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


def into_frame(volumes: np.ndarray, change: FrameChange, pixel_size_angstrom: float) -> np.ndarray:
    """Volumes ``(B, D, D, D)`` of the estimate turned into the other frame, by cubic splines.

    For pictures: numbers are measured where nothing is interpolated.
    """
    reverse = np.eye(3)[::-1]  # (x, y, z) as array indices (z, y, x)
    matrix = reverse @ change.linear.numpy() @ reverse
    centre = np.full(3, volumes.shape[-1] // 2)
    shift = reverse @ change.shift_angstrom.numpy() / pixel_size_angstrom
    offset = centre + shift - matrix @ centre
    return np.stack([ndimage.affine_transform(v, matrix, offset, order=3) for v in volumes])


def summarise_poses(
    agreement: PoseAgreement, chosen: np.ndarray, bootstrap: MovieBootstrap, pixel_size: float
) -> dict[str, Any]:
    """Section ``poses`` of an evaluation, over the chosen frames, bool ``(n,)``."""
    angle, shift = agreement.angle_degrees[chosen], agreement.shift_angstrom[chosen]
    close = (angle < CLOSE_DEGREES).astype(np.float64)
    return {
        "median_degrees": float(np.median(angle)),
        "median_degrees_ci": bootstrap.interval(bootstrap.medians(angle)),
        "within_10_degrees": float(close.mean()),
        "within_10_degrees_ci": bootstrap.interval(bootstrap.means(close)),
        "median_shift_angstrom": float(np.median(shift)),
        "median_shift_angstrom_ci": bootstrap.interval(bootstrap.medians(shift)),
        "median_shift_pixels": float(np.median(shift)) / pixel_size,
    }


def _common_shift(rotations: Tensor, residual: Tensor, angle: Tensor) -> Tensor:
    """Least-squares t of ``(R t)_xy = residual (N, 2)`` over frames whose angle is small."""
    good = angle < TOLERANCE_DEGREES
    rows = rotations[good, :2].reshape(-1, 3)
    target = residual[good].reshape(-1)
    if len(rows) < 4:  # two frames: the displacement along a direction is not seen
        return torch.zeros(3, dtype=rotations.dtype)
    t = torch.zeros(3, dtype=rotations.dtype)
    weight = torch.ones_like(target)
    for _ in range(_ROUNDS):  # least absolute residuals: displacements may be wrong as well
        t = torch.linalg.lstsq(rows * weight[:, None], (target * weight)[:, None]).solution[:, 0]
        weight = (rows @ t - target).abs().clamp(min=1e-2).rsqrt()
    return t
