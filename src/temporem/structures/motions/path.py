"""Common settings and sweep of motions along a path of snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import AfterValidator, Field, NonNegativeFloat

from temporem.structures.motions.base import Range
from temporem.structures.sources import BUILT_IN

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from temporem.io.npz import NpzFile
    from temporem.structures.molecule import Molecule
    from temporem.structures.snapshot_path import SnapshotPath


def _fractions(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] < 0 or values[1] > 1:
        raise ValueError("must be within [0, 1]")
    return values


PathStart = Annotated[
    Range,
    AfterValidator(_fractions),
    Field(description="Range of a movie's first progress in a sweep."),
]
PathStep = Annotated[
    NonNegativeFloat | None,
    Field(
        description="Progress from one frame to the next in a sweep; by default what takes the "
        "longest movie from the highest start to the end."
    ),
]
PathStates = Annotated[
    int | None,
    Field(
        ge=1,
        le=10_000,
        description="Number of states; by default that of the longest movie's frames.",
    ),
]


class PathSettings(Protocol):
    """Settings of a motion from progress 0 to 1 at constant speed."""

    @property
    def kind(self) -> Any: ...
    @property
    def start(self) -> tuple[float, float]: ...
    @property
    def step(self) -> float | None: ...
    @property
    def states(self) -> int | None: ...


def require_file(structure: str, what: str) -> None:
    """Raise a ValueError where the structure is the built-in protein, which has no file."""
    if structure == BUILT_IN:
        raise ValueError(f"structure: {what} file, not '{BUILT_IN}'")


def require_path(settings: PathSettings, frames_per_movie: int) -> None:
    """Raise a ValueError where a movie would leave the path."""
    last = settings.start[1] + progress_step(settings, frames_per_movie) * (frames_per_movie - 1)
    if last > 1 + 1e-9:
        raise ValueError(
            f"motion: the last frame of a movie would be at progress {last:.3g}, and the "
            f"{settings.kind} ends at 1; lower motion.step, motion.start or frames_per_movie"
        )


def progress_step(settings: PathSettings, frames_per_movie: int) -> float:
    """Progress from one frame to the next."""
    if settings.step is not None:
        return settings.step
    return (1 - settings.start[1]) / max(1, frames_per_movie - 1)


def draw_progress(
    settings: PathSettings, movies: int, frames_per_movie: int, generator: Generator
) -> Tensor:
    """Progress of every frame, ``(movies, frames, 1)``, at constant speed."""
    from temporem.structures.schedules import constant_speed

    step = progress_step(settings, frames_per_movie)
    return constant_speed(settings.start, step, movies, frames_per_movie, generator)[..., None]


def along(settings: PathSettings, frames_per_movie: int, progress: Tensor) -> Tensor:
    """Parameters ``(movies, frames, 1)`` of places on the path ``(movies, frames)``."""
    return progress[..., None]


def states_of_progress(settings: PathSettings, parameters: Tensor) -> Tensor:
    """Which of equal parts of the path each frame is in, ``(movies, frames)``."""
    from temporem.structures.schedules import whole_steps

    n_states = settings.states or parameters.shape[1]
    return whole_steps(parameters[..., 0] * n_states).clamp(max=n_states - 1)


def read(molecule: Molecule, arrays: NpzFile) -> SnapshotPath:
    """Make a path from what :func:`temporem.structures.motion_files.write_motion` wrote."""
    from temporem.structures.snapshot_path import read_path

    return read_path(molecule, arrays)


def summarise(path: SnapshotPath) -> dict[str, float]:
    """Summarise how well bonds are kept along a path."""
    from temporem.structures.snapshot_path import path_quality

    return path_quality(path)
