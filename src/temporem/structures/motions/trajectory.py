"""Trajectory motion: a molecule follows a trajectory of molecular dynamics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from temporem.structures.motions import path
from temporem.structures.motions.base import MotionKind, MotionSettings, Update

if TYPE_CHECKING:
    from temporem.structures.molecule_source import MoleculeSource
    from temporem.structures.snapshot_path import SnapshotPath


class TrajectorySettings(MotionSettings):
    """The molecule passes along the snapshots of a molecular-dynamics trajectory.

    ``structure`` names the topology. Progress runs from 0 at the first snapshot to 1 at the last.
    In a sweep, frame t of a movie has ``progress = start + step · t``, with a start that is drawn
    uniformly for each movie. The path is divided into states of equal length, in order.
    """

    kind: Literal["trajectory"] = "trajectory"
    coordinates: str = Field(description="File of the snapshots of the structure's atoms.")
    start: path.PathStart = (0.0, 0.0)
    step: path.PathStep = None
    states: path.PathStates = None

    @property
    def files(self) -> list[str]:
        """The snapshots."""
        return [self.coordinates]

    def check(self, structure: str, frames_per_movie: int) -> None:
        """Require a topology."""
        path.require_file(structure, "a trajectory needs a topology")

    def check_sweep(self, frames_per_movie: int) -> None:
        """Require movies that stay on the path."""
        path.require_path(self, frames_per_movie)


def _load(
    settings: TrajectorySettings,
    source: MoleculeSource,
    frames_per_movie: int,
    progress: Update | None,
) -> SnapshotPath:
    from temporem.structures.snapshot_path import path_through
    from temporem.structures.trajectory import read_trajectory

    molecule, snapshots = read_trajectory(
        source.path(source.structure),
        source.path(settings.coordinates),
        chains=source.chains,
        hydrogens=source.hydrogens,
    )
    return path_through(molecule, snapshots - snapshots[0].mean(0))


TRAJECTORY = MotionKind(
    TrajectorySettings,
    load=_load,
    draw=path.draw_progress,
    states=path.states_of_progress,
    read=path.read,
    summarise=path.summarise,
    along=path.along,
)
