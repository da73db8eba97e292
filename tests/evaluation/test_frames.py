"""The frames that are evaluated, and their groups."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.swing import frames_of
from temporem.evaluation.frames import MAX_GROUPS, EvaluatedFrames


def test_frames_of_a_dataset_follow_its_movies():
    dataset = SimpleNamespace(
        particle_names=["b", "a", "b", "a", "a"],
        frame_numbers=np.array([2, 3, 1, 1, 2]),
        movies=[np.array([3, 4, 1]), np.array([2, 0])],
    )
    frames = EvaluatedFrames.of_movies(dataset, held_out=[1])
    assert frames.rows.tolist() == [3, 4, 1, 2, 0]
    assert frames.particle_names.tolist() == ["a", "a", "a", "b", "b"]
    assert frames.frame_numbers.tolist() == [1, 2, 3, 1, 2]
    assert frames.held_out.tolist() == [False, False, False, True, True]


def test_groups_are_whole_movies_and_keep_held_out_movies_apart():
    few = frames_of([7, 7, 3, 3, 5], held_out=[False, False, True, True, False])
    assert few.groups.tolist() == [1, 1, 2, 2, 0]
    movie = np.repeat(np.arange(350), 2)
    many = frames_of(movie, held_out=movie % 10 == 0)
    groups = many.groups
    assert len(np.unique(groups)) == groups.max() + 1 == MAX_GROUPS + 35
    assert not np.isin(groups[many.held_out], groups[~many.held_out]).any()
    for m in range(350):
        assert len(np.unique(groups[movie == m])) == 1
    assert np.bincount(groups).max() <= 2 * math.ceil(315 / MAX_GROUPS)


def test_frames_refuse_a_row_that_occurs_twice():
    with pytest.raises(ValueError, match="twice"):
        EvaluatedFrames(
            rows=np.array([0, 0]),
            movie=np.zeros(2, int),
            particle_names=np.array(["a", "a"]),
            frame_numbers=np.array([1, 2]),
            held_out=np.zeros(2, bool),
        )
