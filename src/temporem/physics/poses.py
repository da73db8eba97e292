"""Poses of particles in their images: orientation, displacement and their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.physics.rigid_transform import RigidTransform


@dataclass(frozen=True, eq=False)
class Poses:
    """Poses of N frames: ``poses[rows]`` are those of some, ``len(poses)`` is N.

    Attributes:
        rotations: molecule to camera coordinates, float64 ``(N, 3, 3)``.
        shifts_angstrom: displacement (x, y) of the particle from the centre of its image, float64
            ``(N, 2)``.
        angle_sd_degrees: posterior standard deviation of the orientation, root mean square over
            three axes, ``(N,)``; None where it is not known.
        shift_sd_angstrom: posterior standard deviation of the displacement, root mean square over
            two axes, ``(N,)``; None where it is not known.

    Raises:
        TemporemError: the tensors are not of these shapes.

    Example:
        >>> turned = torch.eye(3, dtype=torch.float64).repeat(10, 1, 1)
        >>> poses = tm.Poses(turned, torch.zeros(10, 2, dtype=torch.float64))
        >>> poses[2:5].shifts_angstrom.shape
        torch.Size([3, 2])
    """

    rotations: Tensor
    shifts_angstrom: Tensor
    angle_sd_degrees: Tensor | None = None
    shift_sd_angstrom: Tensor | None = None

    def __post_init__(self) -> None:
        n = len(self.rotations)
        spreads = (self.angle_sd_degrees, self.shift_sd_angstrom)
        found = [self.rotations, self.shifts_angstrom, *(s for s in spreads if s is not None)]
        wanted = [(n, 3, 3), (n, 2), (n,), (n,)]
        if any(tuple(t.shape) != shape for t, shape in zip(found, wanted, strict=False)):
            raise TemporemError(
                f"poses of shapes {', '.join(str(tuple(tensor.shape)) for tensor in found)}",
                expected="rotations (N, 3, 3), shifts (N, 2) and standard deviations (N,)",
            )

    @classmethod
    def identity(cls, n: int) -> Poses:
        """N poses without rotation and shift."""
        eye = torch.eye(3, dtype=torch.float64).repeat(n, 1, 1)
        return cls(eye, torch.zeros(n, 2, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.rotations)

    def __getitem__(self, rows: Tensor | np.ndarray | slice) -> Poses:
        angle, shift = self.angle_sd_degrees, self.shift_sd_angstrom
        return Poses(
            self.rotations[rows],
            self.shifts_angstrom[rows],
            None if angle is None else angle[rows],
            None if shift is None else shift[rows],
        )

    def transformed(self, transform: RigidTransform) -> Poses:
        """The poses in another reference frame of the molecule.

        Standard deviations stay: they are about the axes of the camera.
        """
        return replace(
            self,
            rotations=transform.rotations(self.rotations),
            shifts_angstrom=transform.shifts(self.rotations, self.shifts_angstrom),
        )

    def changed(self, transforms: Sequence[RigidTransform], classes: np.ndarray) -> Poses:
        """The poses with a reference frame of its own for every class.

        Args:
            transforms: of K classes.
            classes: 0 … K − 1 for every frame, ``(N,)``.
        """
        rotations, shifts = self.rotations.clone(), self.shifts_angstrom.clone()
        for number, transform in enumerate(transforms):
            mine = torch.from_numpy(classes == number)
            shifts[mine] = transform.shifts(rotations[mine], shifts[mine])
            rotations[mine] = transform.rotations(rotations[mine])
        return replace(self, rotations=rotations, shifts_angstrom=shifts)
