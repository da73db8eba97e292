"""Morph motion: a molecule changes from one structure to another along a computed path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from temporem.structures.motions import path
from temporem.structures.motions.base import MotionKind, MotionSettings, Update

if TYPE_CHECKING:
    from temporem.structures.molecule_source import MoleculeSource
    from temporem.structures.snapshot_path import SnapshotPath


class MorphSettings(MotionSettings):
    """The molecule changes from one structure to another; bonds, angles and helices are kept.

    Residues are matched by number and atoms by name; atoms that only one structure has are left
    out. Progress runs from 0 at ``structure`` to 1 at ``end``. Movies and states are those of a
    trajectory.
    """

    kind: Literal["morph"] = "morph"
    end: str = Field(description="File or PDB code of the structure at the end.")
    end_chains: list[str] | None = Field(
        default=None,
        description="Chains of it, in the order of those of the start; all by default.",
    )
    start: path.PathStart = (0.0, 0.0)
    step: path.PathStep = None
    states: path.PathStates = None

    @property
    def files(self) -> list[str]:
        """The structure at the end."""
        return [self.end]

    def check(self, structure: str, frames_per_movie: int) -> None:
        """Require a structure from a file."""
        path.require_file(structure, "a morph needs a structure")

    def check_sweep(self, frames_per_movie: int) -> None:
        """Require movies that stay on the path."""
        path.require_path(self, frames_per_movie)


def _load(
    settings: MorphSettings, source: MoleculeSource, frames_per_movie: int, progress: Update | None
) -> SnapshotPath:
    from temporem.structures.matching import match
    from temporem.structures.morph import morph
    from temporem.structures.snapshot_path import path_through

    molecule, end = match(source.molecule(), source.read(settings.end, settings.end_chains))
    n_states = max(2, settings.states or frames_per_movie)
    snapshots = morph(molecule, end, n_states, progress=progress)
    return path_through(molecule, snapshots - snapshots[0].mean(0), evenly=True)


MORPH = MotionKind(
    MorphSettings,
    load=_load,
    draw=path.draw_progress,
    states=path.states_of_progress,
    read=path.read,
    summarise=path.summarise,
    along=path.along,
)
