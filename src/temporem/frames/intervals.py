"""Times between neighbouring frames of a movie, in units of their median."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

_RESOLUTION = 0.01  # median intervals; smaller differences are ignored


class Timed(Protocol):
    """N frames of movies with their times, as a :class:`Dataset` has them."""

    @property
    def movies(self) -> list[np.ndarray]: ...

    @property
    def times_seconds(self) -> np.ndarray: ...

    @property
    def frame_numbers(self) -> np.ndarray: ...

    @property
    def n_frames(self) -> int: ...


def movie_clock(dataset: Timed) -> tuple[np.ndarray, str]:
    """Choose the times of all frames ``(N,)``, and their unit, ``s`` or ``frame``.

    They are seconds where all frames have times that rise within every movie, else frame numbers.
    The time of a movie's only frame does not matter, and may be unknown.
    """
    steps = [np.diff(dataset.times_seconds[movie]) for movie in dataset.movies]
    rising = all(np.isfinite(step).all() and (step > 0).all() for step in steps)
    if rising:
        return dataset.times_seconds, "s"
    return dataset.frame_numbers.astype(float), "frame"


def frame_steps(dataset: Timed) -> np.ndarray:
    """Time since the frame before, ``(N,)``; NaN for the first frame of a movie.

    The unit is that of :func:`movie_clock`. A missing frame makes a longer step either way.
    """
    steps = np.full(dataset.n_frames, np.nan)
    clock, _ = movie_clock(dataset)
    for movie in dataset.movies:
        steps[movie[1:]] = np.diff(clock[movie])
    return steps


def frame_intervals(dataset: Timed) -> tuple[Tensor, Tensor]:
    """Find all different intervals of :func:`frame_steps`, in units of their median.

    Returns:
        Intervals ``(G,)``, float64; index of the interval before each frame ``(N,)``, 0 without
        meaning for the first frame of a movie.
    """
    steps = frame_steps(dataset)
    later = np.concatenate([movie[1:] for movie in dataset.movies])
    index = np.zeros(dataset.n_frames, dtype=np.int64)
    if len(later) == 0:
        return torch.ones(1, dtype=torch.float64), torch.from_numpy(index)
    relative = steps[later] / np.median(steps[later])
    rounded = np.maximum(np.round(relative / _RESOLUTION), 1) * _RESOLUTION
    intervals, index[later] = np.unique(rounded, return_inverse=True)
    return torch.from_numpy(intervals), torch.from_numpy(index)
