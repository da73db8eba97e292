"""Schedules of a simulation: their interface, and the sweep of the motion itself.

Nothing here loads torch before it draws, so that the command line checks settings without it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Generator, Tensor


def _on_the_path(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError("must be within [0, 1]")
    return value


Place = Annotated[float, AfterValidator(_on_the_path)]
"""A setting that is a place on the path, from 0 to 1."""


class ScheduleSettings(BaseModel):
    """The section ``schedule`` of a simulation; every kind has a class of its own."""

    # Settings come from YAML files, where nan and inf are easily written and never meant.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str


class Sweep(ScheduleSettings):
    """Every movie goes along the path at one speed, as the settings of the motion say.

    Movies start in nearly the same state, so the frame number tells the state.
    """

    kind: Literal["sweep"] = "sweep"


class PathSchedule(ScheduleSettings):
    """A schedule of places on the path, progress from 0 to 1.

    The motion turns progress into its own parameters (``along`` of its
    :class:`~temporem.structures.motions.base.MotionKind`).
    """

    def check(self, frames: int, interval_seconds: float) -> None:
        """Raise a ValueError if movies of so many frames would take too long to draw.

        Args:
            frames: number of frames of the longest movie.
            interval_seconds: time between frames.
        """

    @abstractmethod
    def progress(
        self, movies: int, frames: int, interval_seconds: float, generator: Generator
    ) -> Tensor:
        """Draw the place of every frame, from 0 to 1, ``(movies, frames)`` float64.

        Args:
            movies: number of movies.
            frames: number of frames of the longest movie.
            interval_seconds: time between frames.
            generator: source of random numbers.
        """


class Draws:
    """Random numbers for all movies at a time, each array ``(movies,)`` float64."""

    def __init__(self, movies: int, generator: Generator) -> None:
        self._movies = movies
        self._generator = generator

    def uniform(self) -> np.ndarray:
        """Draw from [0, 1)."""
        return self._empty().uniform_(generator=self._generator).numpy()

    def normal(self) -> np.ndarray:
        """Draw from the standard normal distribution."""
        return self._empty().normal_(generator=self._generator).numpy()

    def exponential(self) -> np.ndarray:
        """Draw from the exponential distribution of mean 1."""
        return self._empty().exponential_(generator=self._generator).numpy()

    def _empty(self) -> Any:
        import torch

        return torch.empty(self._movies, dtype=torch.float64)


def folded(places: np.ndarray) -> np.ndarray:
    """Fold a line onto the path: what goes beyond an end comes back from there."""
    around = np.remainder(places, 2)
    return np.where(around > 1, 2 - around, around)
