"""Rigid motions of points, and the screw axis that they share.

A rigid motion ``x ↦ R x + t`` is a turn about an axis and a slide along it (Chasles 1830). A hinge
turns by many angles about one axis: ``R_n = R(θ_n) R_1``, and some line of points stays in place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import roma
import torch
from scipy.optimize import least_squares
from torch import Tensor

from temporem.physics.rotations import (
    nearest_rotation,
    rotation_about_axis,
    vector_of_rotation,
)


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
        angle_degrees: turn in each motion, from −180 to 180; 0 is the body's own place, ``(n,)``.
        slide: mean movement of the body along the axis in each motion, ``(n,)``.
        share: part of the mean square motion of the body that turns about the axis explain, 1 at
            most.
        body: six points with the weight and the moments of inertia of the body, ``(6, 3)``.
    """

    direction: Tensor
    point: Tensor
    angle_degrees: Tensor
    slide: Tensor
    share: float
    body: Tensor

    def angles_of(self, motions: RigidMotions) -> Tensor:
        """Turns of other motions of the body about this axis, degrees: ``(...)``."""
        return _best_turns(self.direction, self.point, self.body, motions(self.body)).rad2deg()

    @property
    def reversed(self) -> ScrewAxis:
        """This axis in the opposite direction."""
        return replace(
            self,
            direction=-self.direction,
            angle_degrees=-self.angle_degrees,
            slide=-self.slide,
        )


def screw_axis(motions: RigidMotions, points: Tensor, weights: Tensor, near: Tensor) -> ScrewAxis:
    """Find the axis about which turns describe n motions of a body best.

    It minimises the distance between where the motions and where turns about the axis put the
    body. So a thin arm's turns about its own length, which images hardly show, count little.

    Args:
        motions: two or more, ``(n, …)``. They must not all be alike.
        points: of the body in its own place, ``(N, 3)``.
        weights: of the points, ``(N,)``.
        near: the point of the axis closest to this one, ``(3,)``, is reported.
    """
    body = _same_inertia(points, weights)
    moved = motions(body)
    scale = (moved - moved.mean(0)).square().sum(-1).mean().sqrt()
    first, start = _common_axis(motions, near)
    across = _across(first)

    def axis(free: Tensor) -> tuple[Tensor, Tensor]:
        direction = first + free[:2] @ across
        point = start + scale * (free[2:] @ across)
        return direction / direction.norm(), point

    def missed(free: np.ndarray) -> np.ndarray:
        direction, point = axis(torch.from_numpy(free))
        turns = _best_turns(direction, point, body, moved)
        away = _turned(direction, point, body, turns) - moved
        return (away / scale).flatten().numpy()

    found = least_squares(missed, np.zeros(4), x_scale=0.1)
    direction, point = axis(torch.from_numpy(found.x))
    point = _closest(direction, point, near)
    turns = _best_turns(direction, point, body, moved)
    away = moved - _turned(direction, point, body, turns)
    share = 1 - float(away.square().sum(-1).mean() / scale.square())
    slide = away.mean(-2) @ direction
    return ScrewAxis(direction, point, turns.rad2deg(), slide, share, body)


def _common_axis(motions: RigidMotions, near: Tensor) -> tuple[Tensor, Tensor]:
    """Find direction and point of the axis that n motions share, by their rotations and shifts.

    No motion is singled out: the direction is that in which the rotations differ most, and the
    place is that which differs least where they do.
    """
    rotations, shifts = motions.rotations, motions.shifts
    middle = nearest_rotation(rotations.mean(0))
    turns = vector_of_rotation(rotations @ middle.mT)
    direction = torch.linalg.eigh(turns.mT @ turns).eigenvectors[:, -1]
    across = _across(direction)
    # Points p of the axis go to one place c in all motions but for the slide: t_n = c − R_n p,
    # hence t_n − mean t = −(R_n − mean R) p at right angles to the axis.
    change = across @ (rotations - rotations.mean(0))
    missed = (shifts - shifts.mean(0)) @ across.mT + change @ near
    unknown = (change @ across.mT).flatten(0, 1)
    found = torch.linalg.lstsq(unknown, -missed.flatten()[:, None], driver="gelsd").solution[:, 0]
    return direction, near + across.mT @ found


def _same_inertia(points: Tensor, weights: Tensor) -> Tensor:
    """Six points with the centre and the second moments of a body.

    Rigid motions are as far from one another on them, root mean square, as on the body.
    """
    share = weights / weights.sum()
    centre = share @ points
    away = points - centre
    moments, axes = torch.linalg.eigh(away.mT @ (share[:, None] * away))
    arms = (3 * moments.clamp(min=0)).sqrt()[:, None] * axes.mT
    return torch.cat([centre + arms, centre - arms])


def _best_turns(direction: Tensor, point: Tensor, body: Tensor, moved: Tensor) -> Tensor:
    """Turns about an axis that take a body nearest to where it is, radians, ``(...)``."""
    before, after = body - point, moved - point
    before = before - (before @ direction)[..., None] * direction
    sine = (torch.linalg.cross(before.expand_as(after), after) @ direction).sum(-1)
    return torch.atan2(sine, (before * after).sum((-2, -1)))


def _turned(direction: Tensor, point: Tensor, body: Tensor, turns: Tensor) -> Tensor:
    """The body ``(M, 3)`` after turns ``(n,)`` about an axis, ``(n, M, 3)``."""
    rotations = rotation_about_axis(direction.expand(*turns.shape, 3), turns)
    return (body - point) @ rotations.mT + point


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
