"""Some movies of a dataset as a dataset of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from temporem.frames.dataset import Dataset


def some_movies(dataset: Dataset, movies: list[np.ndarray]) -> Dataset:
    """Make a dataset of some movies, whose images are read into memory.

    Args:
        dataset: all movies.
        movies: rows of the movies to keep, from ``dataset.movies``.
    """
    rows = np.concatenate(movies)
    index = torch.from_numpy(rows)
    ends = np.cumsum([len(movie) for movie in movies])
    return replace(
        dataset,
        images=dataset.images[rows],
        poses=dataset.poses[index],
        ctf=dataset.ctf[index],
        particle_names=[dataset.particle_names[row] for row in rows],
        frame_numbers=dataset.frame_numbers[rows],
        times_seconds=dataset.times_seconds[rows],
        movies=np.split(np.arange(len(rows)), ends[:-1]),
    )
