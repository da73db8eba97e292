"""The time between neighbouring frames of a movie, in units of the usual one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.data.dataset import MovieDataset

_RESOLUTION = 0.01  # of the median interval; what differs by less is the same


def frame_intervals(dataset: MovieDataset) -> tuple[Tensor, Tensor]:
    """All different intervals ``(G,)``, float64, and which of them precedes each frame ``(N,)``.

    From the times of frames where all are known and rise within every movie, else from frame
    numbers, so that a frame that is missing is a longer interval either way. Their median is 1;
    the first frame of a movie gets index 0, which means nothing.
    """
    for clock in (dataset.times_seconds, dataset.frame_numbers.astype(float)):
        steps = np.full(dataset.n_frames, np.nan)
        for movie in dataset.movies:
            steps[movie[1:]] = np.diff(clock[movie])
        later = np.concatenate([movie[1:] for movie in dataset.movies])
        if np.isfinite(steps[later]).all() and (steps[later] > 0).all():
            break
    index = np.zeros(dataset.n_frames, dtype=np.int64)
    if len(later) == 0:
        return torch.ones(1, dtype=torch.float64), torch.from_numpy(index)
    relative = steps[later] / np.median(steps[later])
    rounded = np.maximum(np.round(relative / _RESOLUTION), 1) * _RESOLUTION
    intervals, index[later] = np.unique(rounded, return_inverse=True)
    return torch.from_numpy(intervals), torch.from_numpy(index)
