"""Changes of a molecule that images cannot tell: of its reference frame, and of its hand.

A volume ``V'(x) = V(Gᵀ(x − t))``, with the poses ``R' = R Gᵀ`` and the displacements
``d' = d − (R' t)_xy``, has the same images as V in the poses R, d. So has its mirror image
``V'(x) = V(−Gᵀ(x − t))`` with ``R' = Z R Gᵀ``, where Z turns by 180° about the beam: a slice
through the origin meets k and −k alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_ABOUT_BEAM = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))


@dataclass(frozen=True)
class RigidTransform:
    """From the frame in which poses were estimated to another one.

    Attributes:
        rotation: G, from the other frame to the estimate's, float64 ``(3, 3)``.
        mirrored: whether the estimate is of the other hand.
        shift_angstrom: t, where the other frame's origin is in the estimate, ``(3,)``.
    """

    rotation: Tensor
    mirrored: bool
    shift_angstrom: Tensor

    @property
    def linear(self) -> Tensor:
        """G, or −G for the mirror image: points r of the other frame are at ``G r + t``."""
        return -self.rotation if self.mirrored else self.rotation

    def rotations(self, estimated: Tensor) -> Tensor:
        """Estimated rotations ``(..., 3, 3)`` in the other frame: ``R = [Z] R' G``."""
        hand = _ABOUT_BEAM @ estimated if self.mirrored else estimated
        return hand @ self.rotation

    def shifts(self, estimated: Tensor, shifts_angstrom: Tensor) -> Tensor:
        """Estimated displacements ``(..., 2)`` in the other frame: ``d = d' + (R' t)_xy``."""
        return shifts_angstrom + (estimated @ self.shift_angstrom)[..., :2]


def other_hand(rotations: Tensor) -> Tensor:
    """The poses ``Z R`` in which the mirror image has the images that the molecule has in R."""
    return _ABOUT_BEAM.to(rotations, non_blocking=True) @ rotations
