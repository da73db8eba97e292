"""Rigid transforms of a molecule that images do not show: of its reference frame, and its hand.

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
    """A change from the reference frame of an estimate to another one.

    Attributes:
        rotation: G, from the other reference frame to the estimate's, float64 ``(3, 3)``.
        mirrored: true where the estimate has the other hand.
        shift_angstrom: t, the other reference frame's origin in the estimate, ``(3,)``.
    """

    rotation: Tensor
    mirrored: bool
    shift_angstrom: Tensor

    @property
    def linear(self) -> Tensor:
        """G, or −G for a mirror image: points r of the other reference frame are at ``G r + t``."""
        return -self.rotation if self.mirrored else self.rotation

    def rotations(self, estimated: Tensor) -> Tensor:
        """Rotations ``(..., 3, 3)`` in the other reference frame: ``R = [Z] R' G``."""
        hand = _ABOUT_BEAM @ estimated if self.mirrored else estimated
        return hand @ self.rotation

    def shifts(self, estimated: Tensor, shifts_angstrom: Tensor) -> Tensor:
        """Displacements ``(..., 2)`` in the other reference frame: ``d = d' + (R' t)_xy``."""
        return shifts_angstrom + (estimated @ self.shift_angstrom)[..., :2]


def other_hand(rotations: Tensor) -> Tensor:
    """Rotations ``Z R`` in which the mirror image has the same images as the molecule in R."""
    return _ABOUT_BEAM.to(rotations, non_blocking=True) @ rotations
