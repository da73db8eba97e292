"""Confidence intervals by resampling whole movies: frames of one movie are not independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_SAMPLES = 100_000


@dataclass(frozen=True)
class BootstrapSettings:
    """A percentile bootstrap.

    Attributes:
        samples: how often the movies are drawn again.
        level: coverage of the interval.
        seed: of the draws; runs compared with one seed draw the same movies.
    """

    samples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not (isinstance(self.samples, int) and 1 <= self.samples <= MAX_SAMPLES):
            raise ValueError(f"a bootstrap of {self.samples} samples; 1 to {MAX_SAMPLES:,} can be")
        if not 0 < self.level < 1:
            raise ValueError(f"a bootstrap's level of {self.level}; it is between 0 and 1")
        if not (isinstance(self.seed, int) and self.seed >= 0):
            raise ValueError(f"a bootstrap's seed of {self.seed}; it is a whole number from 0")


def interval_over_movies(sums: np.ndarray, n_frames: np.ndarray) -> tuple[float, float]:
    """Bootstrap interval of a mean over frames, from sums ``(M,)`` over the frames of M movies.

    Args:
        sums: of each movie.
        n_frames: frames of each movie, ``(M,)``.
    """
    bootstrap = MovieBootstrap(np.arange(len(sums)), BootstrapSettings())
    return bootstrap.interval((bootstrap.weights @ sums) / (bootstrap.weights @ n_frames))


class MovieBootstrap:
    """Resamples groups of frames (movies) with replacement, the same draws for every statistic.

    Args:
        group_of_frame: ``(n,)`` labels.
        settings: number of samples, level, seed.

    Attributes:
        groups: the sorted distinct labels, ``(G,)``.
        weights: how often each sample drew each group, ``(samples, G)``; rows sum to G.
    """

    def __init__(self, group_of_frame: np.ndarray, settings: BootstrapSettings) -> None:
        self.groups, self._index = np.unique(group_of_frame, return_inverse=True)
        self.settings = settings
        n = len(self.groups)
        rng = np.random.default_rng(settings.seed)
        self.weights = rng.multinomial(n, np.full(n, 1 / n), size=settings.samples)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Means over the frames of every sample: ``(n, ...)`` → ``(samples, ...)``."""
        values = np.asarray(values, dtype=np.float64)
        sums = np.zeros((len(self.groups), *values.shape[1:]))
        np.add.at(sums, self._index, values)
        counts = self.weights @ np.bincount(self._index).astype(np.float64)
        return np.tensordot(self.weights, sums, 1) / counts.reshape(-1, *[1] * (values.ndim - 1))

    def medians(self, values: np.ndarray) -> np.ndarray:
        """Medians over the frames of every sample: ``(n,)`` → ``(samples,)``."""
        order = np.argsort(values)
        counts = self.weights[:, self._index[order]].cumsum(axis=1)
        middle = (counts >= counts[:, -1:] / 2).argmax(axis=1)
        return np.asarray(values, dtype=np.float64)[order][middle]

    def interval(self, statistics: np.ndarray) -> tuple[float, float]:
        """Percentile interval of a statistic's ``(samples,)``; NaN with fewer than two groups."""
        if len(self.groups) < 2:
            return float("nan"), float("nan")
        tail = (1 - self.settings.level) / 2
        low, high = np.quantile(statistics, [tail, 1 - tail])
        return float(low), float(high)
