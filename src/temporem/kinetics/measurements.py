"""One coordinate of frames at measured times, each frame with its own uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

_RESOLUTION = 0.01  # median intervals; smaller differences between times are ignored


@dataclass(frozen=True, eq=False)
class Measurements:
    """Statements of N single frames about a coordinate x: ``exp(h x − ½ J x²)``.

    Frame t alone measures ``h / J`` with the variance ``1 / J``; J = 0 says nothing.

    Attributes:
        score: h, float64 ``(N,)``.
        information: J, float64 ``(N,)``, 0 or more.
        times: float64 ``(N,)``, rising within a movie.
        movies: rows of every movie in order of time.
        unit: of the times, ``s`` or ``frame``.
    """

    score: np.ndarray
    information: np.ndarray
    times: np.ndarray
    movies: list[np.ndarray]
    unit: str = "s"

    @classmethod
    def of_values(
        cls,
        values: np.ndarray,
        deviations: np.ndarray,
        times: np.ndarray,
        movies: list[np.ndarray],
        unit: str = "s",
    ) -> Measurements:
        """Take values ``(N,)`` with independent Gaussian errors of deviations ``(N,)``."""
        information = 1 / np.square(np.broadcast_to(deviations, values.shape).astype(np.float64))
        return cls(values * information, information, times, movies, unit)

    @cached_property
    def packed(self) -> Packed:
        """The movies as padded arrays."""
        return _pack(self)

    @property
    def interval(self) -> float:
        """Median time between neighbouring frames; NaN without neighbours."""
        steps = [np.diff(self.times[rows]) for rows in self.movies if len(rows) > 1]
        return float(np.median(np.concatenate(steps))) if steps else float("nan")

    @property
    def longest(self) -> float:
        """Time from the first to the last frame of the longest movie."""
        return max(float(np.ptp(self.times[rows])) for rows in self.movies)

    @property
    def watched(self) -> float:
        """Time from first to last frame, summed over movies."""
        return sum(float(np.ptp(self.times[rows])) for rows in self.movies)

    def shrunk(self) -> tuple[np.ndarray, float, float]:
        """Values under a Gaussian distribution of x: posterior means ``(N,)``, its mean and sd.

        Mean and variance are moments of what frames measure, less the variance of their errors
        (DerSimonian and Laird 1986, iterated).
        """
        seen = self.information > 0
        j, h = self.information[seen], self.score[seen]
        value = h / j
        centre, variance = float(np.average(value, weights=j)), 1.0
        for _ in range(50):
            weight = 1 / (1 / j + variance)
            centre = float(np.average(value, weights=weight))
            excess = np.square(value - centre) - 1 / j
            found = float(np.average(excess, weights=np.square(weight)))
            variance = max(found, 1e-6)
        all_values = (self.score + centre / variance) / (self.information + 1 / variance)
        return all_values, centre, variance**0.5


@dataclass(frozen=True, eq=False)
class Coordinate:
    """A coordinate x of a run, and the latents that belong to it.

    Attributes:
        name: ``path``, ``z1``, ``PC1`` or the numbers of a direction.
        places: values of x, ``(K,)``.
        points: latents there, ``(K, q)``; between them, and beyond, it is a line.
    """

    name: str
    places: np.ndarray
    points: np.ndarray

    def latents(self, x: np.ndarray) -> np.ndarray:
        """Latents of values ``(n,)``: ``(n, q)``."""
        inside = [np.interp(x, self.places, column) for column in self.points.T]
        if len(self.places) == 2:
            inside = [x * column for column in self.points[1]]
        return np.stack(inside, axis=1)


@dataclass(frozen=True, eq=False)
class Packed:
    """M movies of up to T frames; what pads short ones says nothing.

    Attributes:
        rows: row of every frame, int64 ``(M, T)``, −1 for padding.
        score: h, ``(M, T)``.
        information: J, ``(M, T)``.
        intervals: G different times between neighbouring frames, ``(G,)``.
        interval_index: interval before frame t, ``(M, T − 1)`` for t = 1 … T − 1.
    """

    rows: np.ndarray
    score: Tensor
    information: Tensor
    intervals: Tensor
    interval_index: Tensor


def _pack(measured: Measurements) -> Packed:
    m, t = len(measured.movies), max(map(len, measured.movies))
    rows = np.full((m, t), -1, dtype=np.int64)
    steps = np.zeros((m, t - 1))
    unit = measured.interval if t > 1 else 1.0
    for index, movie in enumerate(measured.movies):
        rows[index, : len(movie)] = movie
        steps[index, : len(movie) - 1] = np.diff(measured.times[movie])
    rounded = np.round(steps / unit / _RESOLUTION) * _RESOLUTION * unit
    intervals, which = np.unique(rounded, return_inverse=True)
    seen = rows >= 0
    return Packed(
        rows=rows,
        score=torch.from_numpy(np.where(seen, measured.score[rows], 0.0)),
        information=torch.from_numpy(np.where(seen, measured.information[rows], 0.0)),
        intervals=torch.from_numpy(intervals),
        interval_index=torch.from_numpy(which.reshape(steps.shape)),
    )
