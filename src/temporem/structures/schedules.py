"""Schedules of movies along a parameter, and the states of frames."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

_ROUNDING = 1e-9


def constant_speed(
    start: tuple[float, float], step: float, movies: int, frames: int, generator: Generator
) -> Tensor:
    """Values ``(movies, frames)`` in equal steps, each movie's first drawn uniformly from a range.

    Args:
        start: the range of first values, lowest and highest.
        step: from one frame to the next.
        movies: number of movies.
        frames: number of frames of a movie.
        generator: source of random numbers.
    """
    low, high = start
    first = low + (high - low) * torch.rand(movies, 1, generator=generator, dtype=torch.float64)
    return first + step * torch.arange(frames, dtype=torch.float64)


def whole_steps(values: Tensor) -> Tensor:
    """Whole numbers below values, int64; a value that rounding has put just below one counts."""
    return (values + _ROUNDING).floor().long()
