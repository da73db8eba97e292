"""Poses of all frames with their posterior, as the steps of a search hand them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.physics.poses import Poses
from temporem.physics.rigid_transform import RigidTransform


@dataclass(frozen=True)
class PoseEstimates:
    """Poses of N frames, the Gaussian posterior about them, and how well they explain the images.

    Attributes:
        rotations: molecule to camera, float64 ``(N, 3, 3)``.
        shifts_angstrom: displacements from where the frames are centred, float64 ``(N, 2)``.
        covariance: posterior of rotation vector and shift, radians and Å, float64 ``(N, 5, 5)``.
        score: log-posterior less the log-likelihood of an empty image, float64 ``(N,)``.
    """

    rotations: Tensor
    shifts_angstrom: Tensor
    covariance: Tensor
    score: Tensor

    @classmethod
    def at(cls, rotations: Tensor) -> PoseEstimates:
        """Given rotations ``(N, 3, 3)`` without shifts, spread and score."""
        n = len(rotations)
        zero = torch.zeros(n, dtype=torch.float64)
        return cls(rotations.double(), zero.new_zeros(n, 2), zero.new_zeros(n, 5, 5), zero)

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def turn_variance(self) -> Tensor:
        """Posterior variance of the rotation vector, mean over three axes, radians²: ``(N,)``."""
        return self.covariance.diagonal(dim1=-2, dim2=-1)[:, :3].mean(-1)

    @property
    def poses(self) -> Poses:
        """Poses with standard deviations; shifts are from where the frames are centred."""
        variances = self.covariance.diagonal(dim1=-2, dim2=-1)
        return Poses(
            rotations=self.rotations,
            shifts_angstrom=self.shifts_angstrom,
            angle_sd_degrees=torch.rad2deg(variances[:, :3].mean(-1).sqrt()),
            shift_sd_angstrom=variances[:, 3:].mean(-1).sqrt(),
        )

    def changed(self, transforms: Sequence[RigidTransform], classes: np.ndarray) -> PoseEstimates:
        """The estimates with a reference frame of its own for every class; see :class:`Poses`."""
        moved = Poses(self.rotations, self.shifts_angstrom).changed(transforms, classes)
        return replace(self, rotations=moved.rotations, shifts_angstrom=moved.shifts_angstrom)


@dataclass(frozen=True)
class ImprovedPoses:
    """Poses that one step of a search has found.

    Attributes:
        estimates: poses of all frames.
        alone: poses as each frame's own image has them, without what its neighbours say.
    """

    estimates: PoseEstimates
    alone: PoseEstimates

    def changed(self, transforms: Sequence[RigidTransform], classes: np.ndarray) -> ImprovedPoses:
        """Both with a reference frame of its own for every class."""
        estimates, alone = (e.changed(transforms, classes) for e in (self.estimates, self.alone))
        return ImprovedPoses(estimates, alone)
