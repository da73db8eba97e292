"""The time between neighbouring frames of a movie, in units of the usual one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.frames.dataset import Dataset

_RESOLUTION = 0.01  # of the median interval; what differs by less is the same


def frame_steps(dataset: Dataset) -> np.ndarray:
    """Time from the frame before to each frame, ``(N,)``, NaN for the first of a movie.

    In seconds where the times of all frames are known and rise within every movie, else in frame
    numbers, so that a frame that is missing is a longer step either way.
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
    """All different intervals ``(G,)``, float64, and which of them precedes each frame ``(N,)``.

    Of :func:`frame_steps`, their median being 1; the first frame of a movie gets index 0, which
    means nothing.
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
