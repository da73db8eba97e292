"""Means of neighbouring frames of a movie: enough signal for drift and background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from temporem.io.microscope.movie import FieldMovie

_MOST_GROUPS = 24
_MOST_BYTES = 2**29

Count = Callable[[int, int], None]
"""Called with the number of frames read and of all."""


@dataclass(frozen=True)
class GroupMeans:
    """Means of G groups of neighbouring frames.

    Attributes:
        means: ``(G, y, x)`` float32.
        times: mean index of the frames of each group, ``(G,)``.
        n_frames: T.
    """

    means: np.ndarray
    times: np.ndarray
    n_frames: int


def group_means(
    movie: FieldMovie, gain: np.ndarray | None = None, progress: Count | None = None
) -> GroupMeans:
    """Read a movie once, frame by frame, and average up to 24 groups of frames.

    Args:
        movie: T frames.
        gain: factor of every pixel, ``(y, x)``; None for 1.
        progress: called after every frame.
    """
    n, height, width = movie.shape
    groups = min(n, _MOST_GROUPS, max(3, _MOST_BYTES // (4 * height * width)))
    ends = np.linspace(0, n, groups + 1).round().astype(int)
    means = np.zeros((groups, height, width), dtype=np.float32)
    for group in range(groups):
        for frame in range(ends[group], ends[group + 1]):
            means[group] += movie.frames(frame, frame + 1)[0]
            if progress is not None:
                progress(frame + 1, n)
        means[group] /= ends[group + 1] - ends[group]
    if gain is not None:
        means *= gain
    return GroupMeans(means, (ends[:-1] + ends[1:] - 1) / 2, n)
