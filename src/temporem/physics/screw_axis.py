"""Rigid motions of points, and the screw axis that they share.

A rigid motion ``x ↦ R x + t`` is a turn about an axis and a slide along it (Chasles 1830). A hinge
turns by many angles about one axis: ``R_n = R(θ_n) R_1``, and some line of points stays in place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import roma
import torch
from torch import Tensor

from temporem.physics.rotations import nearest_rotation, vector_of_rotation


@dataclass(frozen=True)
class RigidMotions:
    """Rigid motions ``x ↦ R x + t``, any number of them.

    Attributes:
        rotations: R, ``(..., 3, 3)``.
        shifts: t, ``(..., 3)``.
    """

    rotations: Tensor
    shifts: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Move points ``(..., N, 3)``."""
        return points @ self.rotations.mT + self.shifts[..., None, :]

    def __getitem__(self, index: Any) -> RigidMotions:
        return RigidMotions(self.rotations[index], self.shifts[index])

    @property
    def inverse(self) -> RigidMotions:
        """The motions back."""
        back = self.rotations.mT
        return RigidMotions(back, -(back @ self.shifts[..., None])[..., 0])

    def after(self, first: RigidMotions) -> RigidMotions:
        """Motions that do ``first``, then these."""
        moved = (self.rotations @ first.shifts[..., None])[..., 0] + self.shifts
        return RigidMotions(self.rotations @ first.rotations, moved)


def fit_rigid_motions(before: Tensor, after: Tensor, weights: Tensor) -> RigidMotions:
    """Find the rigid motions that take points nearest to where they are (Kabsch 1976).

    Args:
        before: ``(N, 3)``, three or more that do not lie on one line.
        after: ``(..., N, 3)``.
        weights: of the points in the sum of squared distances, ``(N,)``, not negative.
    """
    share = weights / weights.sum()
    start, end = share @ before, (share[:, None] * after).sum(-2)
    spread = (share[:, None] * (before - start)).mT
    covariance = spread @ (after - end[..., None, :])
    rotations = roma.special_procrustes(covariance.mT)
    return RigidMotions(rotations, end - rotations @ start)


@dataclass(frozen=True)
class ScrewAxis:
    """The axis about which a body turns, and how far it does in each of its motions.

    Attributes:
        direction: unit vector; positive angles are right-handed about it, ``(3,)``.
        point: a point of the axis, ``(3,)``.
        angle_degrees: turn in each motion, ``(n,)``; 0 is no turn.
        slide: movement along the axis in each motion, ``(n,)``.
        share: part of the turning that is about this axis, from 0 to 1. The rest is about axes at
            right angles to it; below about 0.8 there is no single axis.
    """

    direction: Tensor
    point: Tensor
    angle_degrees: Tensor
    slide: Tensor
    share: float

    def angles_of(self, motions: RigidMotions) -> Tensor:
        """Turns of other motions about this axis, degrees, from −180 to 180: ``(...)``."""
        return turn_about(self.direction, motions.rotations)


def screw_axis(motions: RigidMotions, near: Tensor) -> ScrewAxis:
    """Find the axis that n motions of one body share.

    No motion is singled out: the direction is that in which the rotations differ most, and the
    place is that which differs least where they do.

    Args:
        motions: two or more, ``(n, …)``. They must not all be alike.
        near: the point of the axis closest to this one, ``(3,)``, is reported.
    """
    rotations, shifts = motions.rotations, motions.shifts
    middle = nearest_rotation(rotations.mean(0))
    turns = vector_of_rotation(rotations @ middle.mT)
    strength, directions = torch.linalg.eigh(turns.mT @ turns)
    direction = directions[:, -1]
    if (turns[-1] - turns[0]) @ direction < 0:  # the last motion turns further than the first
        direction = -direction
    share = float(strength[-1] / strength.sum()) if strength.sum() > 0 else 0.0
    across = _across(direction)
    # Points p of the axis go to the same place c in all motions but for the slide:
    # t_n = c − R_n p, hence t_n − mean t = −(R_n − mean R) p at right angles to the axis.
    change = across @ (rotations - rotations.mean(0))
    missed = (shifts - shifts.mean(0)) @ across.mT + change @ near
    unknown = (change @ across.mT).flatten(0, 1)
    found = torch.linalg.lstsq(unknown, -missed.flatten()[:, None], driver="gelsd").solution[:, 0]
    point = near + across.mT @ found
    slide = ((rotations - torch.eye(3).to(rotations)) @ point + shifts) @ direction
    return ScrewAxis(direction, point, turn_about(direction, rotations), slide, share)


def turn_about(direction: Tensor, rotations: Tensor) -> Tensor:
    """Measure how far rotations ``(..., 3, 3)`` turn about a unit vector, degrees: ``(...)``.

    The rotation is split into a turn about the vector and one about an axis across it
    (swing and twist; Grassia 1998).
    """
    quaternion = roma.rotmat_to_unitquat(rotations)
    about = quaternion[..., :3] @ direction
    angle = 2 * torch.rad2deg(torch.atan2(about, quaternion[..., 3]))
    return (angle + 180) % 360 - 180


def axis_error_degrees(a: Tensor, b: Tensor) -> float:
    """Angle between two axes without regard to their signs, degrees, from 0 to 90."""
    return math.degrees(math.atan2(float(torch.linalg.cross(a, b).norm()), abs(float(a @ b))))


def axis_distance(a: Tensor, point_a: Tensor, b: Tensor, point_b: Tensor, near: Tensor) -> float:
    """Distance of two axes where both pass a point, ``(3,)``.

    It compares the points of the axes that are closest to ``near``, because axes that are not
    quite parallel cross somewhere, and that place says nothing.
    """
    return float((_closest(a, point_a, near) - _closest(b, point_b, near)).norm())


def _closest(direction: Tensor, point: Tensor, near: Tensor) -> Tensor:
    return point + ((near - point) @ direction) * direction


def _across(direction: Tensor) -> Tensor:
    """Two unit vectors at right angles to a unit vector and to one another, ``(2, 3)``."""
    least = torch.zeros_like(direction)
    least[int(direction.abs().argmin())] = 1
    first = torch.linalg.cross(direction, least)
    first = first / first.norm()
    return torch.stack([first, torch.linalg.cross(direction, first)])
