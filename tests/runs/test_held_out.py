"""Movies that are kept from training."""

from __future__ import annotations

import numpy as np
import pytest

from temporem.errors import TemporemError
from temporem.runs.held_out import split_movies

MOVIES = [np.arange(4 * i, 4 * i + 4) for i in range(20)]


def test_split_is_a_partition_that_the_seed_decides() -> None:
    training, held_out = split_movies(MOVIES, 0.25, seed=1)
    assert (len(training), len(held_out)) == (15, 5)
    assert sorted(np.concatenate([*training, *held_out])) == list(range(80))
    again = split_movies(MOVIES, 0.25, seed=1)
    assert [movie[0] for movie in again[1]] == [movie[0] for movie in held_out]
    other = split_movies(MOVIES, 0.25, seed=2)
    assert [movie[0] for movie in other[1]] != [movie[0] for movie in held_out]


def test_any_wish_to_hold_out_holds_out_a_movie_and_none_holds_out_none() -> None:
    assert len(split_movies(MOVIES, 1e-6, seed=0)[1]) == 1
    assert split_movies(MOVIES, 0.0, seed=0)[1] == []
    with pytest.raises(TemporemError, match="1 of 20 movies would be left"):
        split_movies(MOVIES, 0.95, seed=0)
    with pytest.raises(TemporemError, match="add movies"):
        split_movies(MOVIES[:1], 0.0, seed=0)
