"""Times between neighbouring frames of a movie, in units of their median."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.frames.dataset import Dataset

_RESOLUTION = 0.01  # median intervals; smaller differences are ignored


def frame_steps(dataset: Dataset) -> np.ndarray:
    """Time since the frame before, ``(N,)``; NaN for the first frame of a movie.

    The unit is seconds where all frames have times that rise within every movie, else frame
    numbers. A missing frame makes a longer step either way.
    """
    steps = np.full(dataset.n_frames, np.nan)
    later = np.concatenate([movie[1:] for movie in dataset.movies])
    for clock in (dataset.times_seconds, dataset.frame_numbers.astype(float)):
        for movie in dataset.movies:
            steps[movie[1:]] = np.diff(clock[movie])
        if np.isfinite(steps[later]).all() and (steps[later] > 0).all():
            break
    return steps


def frame_intervals(dataset: Dataset) -> tuple[Tensor, Tensor]:
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
