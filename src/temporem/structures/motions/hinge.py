"""Hinge motion: a rigid part of a molecule turns about an axis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field, NonNegativeFloat

from temporem.errors import TemporemError
from temporem.io import limits
from temporem.structures.motions.base import MotionKind, MotionSettings, Update, ordered

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from temporem.io.npz import NpzFile
    from temporem.structures.molecule import Molecule
    from temporem.structures.molecule_source import MoleculeSource

Angle = Annotated[float, Field(ge=limits.ANGLE_DEGREES.low, le=limits.ANGLE_DEGREES.high)]


class HingeSettings(MotionSettings):
    """A part of the molecule turns about the axis through two atoms.

    Atoms are selected as ``CHAIN/FIRST[-LAST][/ATOM]``, such as A/47-80 or A/81/CA. In a sweep,
    frame t of a movie has ``angle = start + step · t``, with a start that is drawn uniformly for
    each movie. Other schedules go to and fro within ``range_degrees``. The state of a frame is the
    number of whole steps from the lowest angle that the settings name.
    """

    kind: Literal["hinge"] = "hinge"
    moving: list[str] = Field(min_length=1, description="Atoms that turn.")
    axis: tuple[str, str] = Field(
        description="Two atoms; the turn is right-handed about the line from first to second."
    )
    start_degrees: Annotated[tuple[Angle, Angle], AfterValidator(ordered)] = Field(
        default=(0.0, 0.0), description="Range of a movie's first angle in a sweep."
    )
    step_degrees: NonNegativeFloat = Field(
        le=360, description="Turn from one frame to the next in a sweep; width of a state."
    )
    range_degrees: Annotated[tuple[Angle, Angle], AfterValidator(ordered)] | None = Field(
        default=None,
        description="Angles between which other schedules move; by default those of the sweep.",
    )


@dataclass(frozen=True)
class Hinge:
    """A rigid part that turns about an axis, ``x ↦ R(angle)(x − p) + p``.

    Attributes:
        molecule: the atoms at angle 0.
        moving: atoms of the part, bool ``(N,)``.
        axis_point: a point p on the axis, Å, ``(3,)`` float64.
        axis_direction: the axis; positive angles are right-handed about it, ``(3,)`` float64.
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("angle_degrees",)

    molecule: Molecule
    moving: Tensor
    axis_point: Tensor
    axis_direction: Tensor

    def positions(self, parameters: Tensor) -> Tensor:
        """Moving atoms, Å, at angles ``(..., 1)`` in degrees: ``(..., N_moving, 3)``."""
        from temporem.physics.rotations import rotation_about_axis

        angle = parameters[..., 0].to(self.axis_direction).deg2rad()
        axis = self.axis_direction.expand(*angle.shape, 3)
        rotation = rotation_about_axis(axis, angle)
        arm = self.molecule.positions_angstrom[self.moving] - self.axis_point
        return arm @ rotation.mT + self.axis_point

    def arrays(self) -> dict[str, np.ndarray]:
        """The part and its axis."""
        return {
            "moving": self.moving.numpy(),
            "axis_point": self.axis_point.numpy(),
            "axis_direction": self.axis_direction.numpy(),
        }


def hinge_about_atoms(molecule: Molecule, moving: list[str], axis: tuple[str, str]) -> Hinge:
    """Make a hinge of the atoms that selections name, about the line from one atom to another.

    Selections are those of :meth:`Molecule.find`.

    Raises:
        TemporemError: a selection is bad, an end of the axis is not one atom, or both are the same.
    """
    ends = []
    for selection in axis:
        found = molecule.find(selection)
        if found.sum() != 1:
            raise TemporemError(
                f"axis: '{selection}' matches {int(found.sum())} atoms of {molecule.name}",
                expected="one atom, such as A/81/CA",
            )
        ends.append(molecule.positions_angstrom[found][0])
    direction = ends[1] - ends[0]
    if direction.norm() == 0:
        raise TemporemError(f"axis: {' and '.join(axis)} are the same point", expected="two atoms")
    mask = reduce(or_, map(molecule.find, moving))
    return Hinge(molecule, mask, axis_point=ends[0], axis_direction=direction / direction.norm())


def _load(
    settings: HingeSettings, source: MoleculeSource, frames_per_movie: int, progress: Update | None
) -> Hinge:
    return hinge_about_atoms(source.molecule(), settings.moving, settings.axis)


def _draw(
    settings: HingeSettings, movies: int, frames_per_movie: int, generator: Generator
) -> Tensor:
    from temporem.structures.schedules import constant_speed

    start, step = settings.start_degrees, settings.step_degrees
    return constant_speed(start, step, movies, frames_per_movie, generator)[..., None]


def _along(settings: HingeSettings, frames_per_movie: int, progress: Tensor) -> Tensor:
    first, last = settings.start_degrees
    swept = (first, last + settings.step_degrees * (frames_per_movie - 1))
    low, high = settings.range_degrees or swept
    return (low + (high - low) * progress)[..., None]


def _states(settings: HingeSettings, parameters: Tensor) -> Tensor:
    from temporem.structures.schedules import whole_steps

    lowest = min(settings.start_degrees[0], *(settings.range_degrees or settings.start_degrees))
    return whole_steps((parameters[..., 0] - lowest) / (settings.step_degrees or 1.0))


def _read(molecule: Molecule, arrays: NpzFile) -> Hinge:
    from torch import from_numpy

    return Hinge(
        molecule,
        moving=from_numpy(arrays.numbers("moving", "?", len(molecule))),
        axis_point=from_numpy(arrays.numbers("axis_point", "f8", 3)),
        axis_direction=from_numpy(arrays.numbers("axis_direction", "f8", 3)),
    )


HINGE = MotionKind(HingeSettings, load=_load, draw=_draw, states=_states, read=_read, along=_along)
