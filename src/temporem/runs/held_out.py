"""Movies that a run trains on, and the order in which it takes their frames."""

from __future__ import annotations

import numpy as np

from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.runs.config import RunConfig

_STREAM = 1  # of random numbers, besides those of the training


def movies_of_run(dataset: Dataset, config: RunConfig) -> tuple[Dataset, list[np.ndarray]]:
    """Put frames into the order in which a run takes them, that of time or a random one.

    Returns:
        The movies in this order, and the rows of those to train on.

    Raises:
        TemporemError: as :func:`split_movies`.
    """
    data, seed = config.data, config.seed
    ordered = dataset.shuffled(seed) if data.shuffle_frames else dataset
    return ordered, split_movies(ordered.movies, data.held_out_fraction, seed)[0]


def split_movies(
    movies: list[np.ndarray], held_out_fraction: float, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Split movies at random into those to train on and those held out.

    Raises:
        TemporemError: fewer than two movies remain to train on (half sets need two).
    """
    n = round(held_out_fraction * len(movies))
    if held_out_fraction > 0:
        n = max(n, 1)
    if len(movies) - n < 2:
        raise TemporemError(
            f"{len(movies) - n} of {len(movies)} movies would be left to train on",
            expected="at least 2",
            hint="lower data.held_out_fraction" if n else "add movies",
        )
    order = np.random.default_rng([seed, _STREAM]).permutation(len(movies))
    chosen = set(order[:n].tolist())
    return (
        [movie for i, movie in enumerate(movies) if i not in chosen],
        [movie for i, movie in enumerate(movies) if i in chosen],
    )
