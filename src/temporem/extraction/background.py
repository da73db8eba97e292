"""Background of a movie that does not move with the particles: the camera's pattern, and dirt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from temporem.extraction.settings import Background
from temporem.extraction.sums import GroupMeans

_LEAST_FRAMES = 50
"""Frames for which the median adds little noise: π/2 of the noise of their mean."""

_ROLLING_GROUPS = 5


def chosen_background(kind: Background, sums: GroupMeans) -> Background:
    """Resolve ``auto``: the median over time where there are enough frames, else none."""
    if kind != "auto":
        return kind
    return "median" if sums.n_frames >= _LEAST_FRAMES else "none"


def background_of(kind: Background, sums: GroupMeans) -> Callable[[int], np.ndarray | float]:
    """Make the function that gives the background of a frame, ``(y, x)``.

    ``median`` is the median over time of the means of groups of frames, ``rolling`` that of the
    five groups nearest to the frame. A particle that rests longer than half of that time is taken
    for background. ``none`` is the mean of all pixels.
    """
    if kind == "none":
        level = float(sums.means.mean())
        return lambda frame: level
    if kind == "median" or len(sums.means) <= _ROLLING_GROUPS:
        median = _median(sums.means)
        return lambda frame: median
    return _Rolling(sums)


class _Rolling:
    """Median of the nearest groups; the last one is kept."""

    def __init__(self, sums: GroupMeans) -> None:
        self._sums = sums
        self._first, self._median = -1, np.zeros(0)

    def __call__(self, frame: int) -> np.ndarray:
        groups = len(self._sums.means)
        nearest = int(np.abs(self._sums.times - frame).argmin())
        first = min(max(nearest - _ROLLING_GROUPS // 2, 0), groups - _ROLLING_GROUPS)
        if first != self._first:
            self._first = first
            self._median = _median(self._sums.means[first : first + _ROLLING_GROUPS])
        return self._median


def _median(means: np.ndarray) -> np.ndarray:
    """Median over groups, some rows at a time: a median sorts a copy."""
    rows = [np.median(means[:, y : y + 256], axis=0) for y in range(0, means.shape[1], 256)]
    return np.concatenate(rows).astype(np.float32)
