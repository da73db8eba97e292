"""Errors of estimated poses, after the alignment that images leave open.

One rotation, one displacement and the hand are fitted to all frames before errors are measured
(:mod:`temporem.poses.alignment`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from torch import Tensor

from temporem.physics.poses import Poses
from temporem.physics.rigid_transform import RigidTransform
from temporem.physics.rotations import geodesic_degrees
from temporem.poses.alignment import align_poses

_EXACT_DEGREES, _EXACT_ANGSTROM = 1e-2, 1e-2


@dataclass(frozen=True, eq=False)
class PoseAgreement:
    """Errors of the poses of n frames, aligned as a whole.

    Attributes:
        angle_degrees: angle between estimated and true rotation, ``(n,)``.
        shift_angstrom: distance between estimated and true displacement in the image, ``(n,)``.
        mirrored: the reconstruction is of the other hand.
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
        """The errors of some of the frames."""
        return replace(
            self,
            angle_degrees=self.angle_degrees[rows],
            shift_angstrom=self.shift_angstrom[rows],
        )


@dataclass(frozen=True, eq=False)
class AlignedPoses:
    """Poses of n frames after their alignment, beside the true ones.

    Attributes:
        agreement: their errors.
        rotations: aligned as a whole, ``(n, 3, 3)``.
        true_rotations: ``(n, 3, 3)``.
    """

    agreement: PoseAgreement
    rotations: Tensor
    true_rotations: Tensor


def same_poses(one: Poses, other: Poses) -> bool:
    """True if poses of N frames are the same but for rounding."""
    angle = geodesic_degrees(one.rotations, other.rotations).max()
    shift = (one.shifts_angstrom - other.shifts_angstrom).norm(dim=-1).max()
    return bool(angle < _EXACT_DEGREES) and bool(shift < _EXACT_ANGSTROM)


def pose_agreement(
    estimated: Poses,
    true: Poses,
    *,
    mirrored: bool | None = None,
    rows: np.ndarray | slice = slice(None),
) -> tuple[PoseAgreement, RigidTransform]:
    """Errors of all N frames after :func:`align_poses` on some rows, and the alignment."""
    change, other = align_poses(estimated[rows], true[rows], mirrored=mirrored)
    aligned = estimated.transformed(change)
    angle = geodesic_degrees(aligned.rotations, true.rotations)
    shift = (aligned.shifts_angstrom - true.shifts_angstrom).norm(dim=-1)
    agreement = PoseAgreement(
        angle_degrees=angle.numpy(),
        shift_angstrom=shift.numpy(),
        mirrored=change.mirrored,
        other_hand_degrees=other,
        rotation=change.rotation.tolist(),
        offset_angstrom=change.shift_angstrom.tolist(),
    )
    return agreement, change


def into_frame(
    volumes: np.ndarray, change: RigidTransform, pixel_size_angstrom: float
) -> np.ndarray:
    """Volumes ``(B, D, D, D)`` of the estimate turned into the other frame, by cubic splines.

    For pictures: numbers are measured where nothing is interpolated.
    """
    reverse = np.eye(3)[::-1]  # (x, y, z) as array indices (z, y, x)
    matrix = reverse @ change.linear.numpy() @ reverse
    centre = np.full(3, volumes.shape[-1] // 2)
    shift = reverse @ change.shift_angstrom.numpy() / pixel_size_angstrom
    offset = centre + shift - matrix @ centre
    return np.stack([ndimage.affine_transform(v, matrix, offset, order=3) for v in volumes])
