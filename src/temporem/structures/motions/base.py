"""Motions of a molecule: interface, settings, loader and sweep.

The built-in kinds load torch inside functions only, so that the command line checks settings
without waiting for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from temporem.io.npz import NpzFile
    from temporem.structures.molecule import Molecule
    from temporem.structures.molecule_source import MoleculeSource

Update = Callable[[int, int], None]
"""Called with the amount done and the total amount."""


def ordered(values: tuple[float, float]) -> tuple[float, float]:
    """Check a setting of two numbers: the lower one comes first."""
    if values[0] > values[1]:
        raise ValueError("must be [lowest, highest]")
    return values


Range = Annotated[tuple[float, float], AfterValidator(ordered)]
"""A setting of two numbers, the lower one first."""


class MotionSettings(BaseModel):
    """The section ``motion`` of a simulation; every kind of motion has a class of its own.

    A subclass declares ``kind: Literal["name"] = "name"`` and its settings, each with a
    description.
    """

    # Settings come from YAML files, where nan and inf are easily written and never meant.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str

    @property
    def files(self) -> list[str]:
        """Names of further structures and trajectories: files, or PDB codes."""
        return []

    def check(self, structure: str, frames_per_movie: int) -> None:
        """Raise a ValueError if the settings do not fit the rest of the simulation.

        Args:
            structure: name of the molecule's structure.
            frames_per_movie: length of the longest movie.
        """

    def check_sweep(self, frames_per_movie: int) -> None:
        """Raise a ValueError if a sweep, the schedule of the motion itself, does not fit.

        Args:
            frames_per_movie: length of the longest movie.
        """


class Motion(Protocol):
    """Conformations of a molecule along one or more parameters.

    Attributes:
        parameter_names: names with units, such as ``angle_degrees``.
        molecule: all N atoms; those that never move are where this has them.
        moving: atoms that ever move, bool ``(N,)``.
    """

    parameter_names: ClassVar[tuple[str, ...]]

    @property
    def molecule(self) -> Molecule: ...

    @property
    def moving(self) -> Tensor: ...

    def positions(self, parameters: Tensor) -> Tensor:
        """Moving atoms, Å, of conformations ``(..., n_parameters)``: ``(..., N_moving, 3)``."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays that describe the motion, beside its molecule, when it is written to disk."""
        ...


def conformations(motion: Motion, parameters: Tensor) -> Tensor:
    """All atoms, Å, of conformations ``(..., n_parameters)``: ``(..., N, 3)``."""
    moved = motion.positions(parameters)
    positions = motion.molecule.positions_angstrom.expand(*parameters.shape[:-1], -1, 3).clone()
    positions[..., motion.moving, :] = moved
    return positions


Section = TypeVar("Section", bound=MotionSettings)


def _nothing(motion: Any) -> dict[str, float]:
    return {}


@dataclass(frozen=True)
class MotionKind(Generic[Section]):
    """A kind of motion, as the registry lists it.

    Attributes:
        settings: class of its section of a simulation.
        load: makes the motion: ``load(settings, source, frames_per_movie, progress)``. This and
            the following functions get the number of frames of the longest movie.
        draw: draws the parameters of all frames of a sweep, ``(movies, frames, n_parameters)``
            float64: ``draw(settings, movies, frames_per_movie, generator)``.
        states: gives the conformational state of frames from their parameters, int64
            ``(movies, frames)``, counted from 0: ``states(settings, parameters)``, with parameters
            as ``draw`` returns them.
        read: makes the motion from its molecule and the arrays that it wrote:
            ``read(molecule, arrays)``.
        summarise: numbers about a motion for the summary of a simulation.
        along: gives the parameters, as ``draw`` does, of places on the motion's path, progress from
            0 to 1 ``(movies, frames)``: ``along(settings, frames_per_movie, progress)``. Without it
            the motion has no other schedule than its sweep.
    """

    settings: type[Section]
    load: Callable[[Section, MoleculeSource, int, Update | None], Motion]
    draw: Callable[[Section, int, int, Generator], Tensor]
    states: Callable[[Section, Tensor], Tensor]
    read: Callable[[Molecule, NpzFile], Motion]
    summarise: Callable[[Any], dict[str, float]] = _nothing
    along: Callable[[Section, int, Tensor], Tensor] | None = None

    @property
    def name(self) -> str:
        """The value of ``kind`` in a configuration and in files."""
        name: str = self.settings.model_fields["kind"].default
        return name
