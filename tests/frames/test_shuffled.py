"""Frames of every movie in a random order: what moves, and what stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.intervals import frame_steps
from temporem.frames.settings import DataSettings

LENGTHS = (6, 8, 7, 1)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Movies with gaps and with times, rows in no order."""
    blobs = simulate_blobs(LENGTHS, box=12)
    data = blobs.take(np.random.default_rng(1).permutation(sum(LENGTHS))).dataset
    numbers = data.frame_numbers**2
    return replace(data, frame_numbers=numbers, times_seconds=0.1 * numbers)


def frames_of(data: Dataset, training: list[np.ndarray] | None = None) -> Frames:
    cpu = torch.device("cpu")
    return prepare_frames(data, DataSettings(), training or data.movies, cpu)


def test_movies_keep_their_frames_and_their_times(data: Dataset) -> None:
    shuffled = data.shuffled(3)
    for before, after in zip(data.movies, shuffled.movies, strict=True):
        assert sorted(before) == sorted(after)
        np.testing.assert_array_equal(shuffled.frame_numbers[after], data.frame_numbers[before])
        np.testing.assert_array_equal(shuffled.times_seconds[after], data.times_seconds[before])
    assert any((a != b).any() for a, b in zip(data.movies, shuffled.movies, strict=True))
    steps = [
        frame_steps(d)[movie[1:]] for d in (data, shuffled) for movie in (max(d.movies, key=len),)
    ]
    np.testing.assert_array_equal(*steps)


def test_rows_keep_images_poses_and_ctf(data: Dataset) -> None:
    shuffled = data.shuffled(3)
    assert shuffled.images is data.images
    assert shuffled.poses is data.poses
    assert shuffled.ctf is data.ctf
    assert shuffled.particle_names == data.particle_names


def test_the_seed_decides_the_order(data: Dataset) -> None:
    orders = [np.concatenate(data.shuffled(seed).movies) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()


def test_prepared_frames_take_another_order_without_being_prepared_again(data: Dataset) -> None:
    shuffled = data.shuffled(3)
    one, two = data.movies[1], data.movies[2]
    frames = frames_of(data, [two, one])
    found = frames.in_order_of(shuffled)
    expected = frames_of(shuffled, [shuffled.movies[2], shuffled.movies[1]])
    for name in ("movies", "training"):
        for mine, theirs in zip(getattr(found, name), getattr(expected, name), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert found.interval_index.equal(expected.interval_index)
    assert found.source is frames.source
    assert [len(movie) for movie in found.held_out] == [6, 1]
