"""Times between frames: from times or frame numbers, gaps longer, in any order of rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from temporem.frames.dataset import Dataset
from temporem.frames.frames import prepare_frames
from temporem.frames.intervals import frame_intervals
from temporem.frames.settings import DataSettings

LENGTHS = (4, 3, 1)


def movies(
    numbers: list[int] | None = None, times: list[float] | None = None, lengths=LENGTHS
) -> Dataset:
    """Movies with frame numbers, and times, of our own."""
    dataset = simulate_blobs(lengths).dataset
    if numbers is not None:
        dataset = replace(dataset, frame_numbers=np.array(numbers))
    if times is not None:
        dataset = replace(dataset, times_seconds=np.array(times))
    return dataset


def before_each(dataset: Dataset) -> list[float]:
    """The interval before every frame, in row order; 0 before first frames."""
    intervals, index = frame_intervals(dataset)
    assert intervals.dtype == torch.float64
    assert index.shape == (dataset.n_frames,)
    found = intervals[index]
    first = torch.tensor([int(movie[0]) for movie in dataset.movies])
    assert (index[first] == 0).all()
    found[first] = 0
    return found.tolist()


def test_frames_one_after_another_are_one_interval_apart() -> None:
    intervals, index = frame_intervals(movies())
    assert intervals.tolist() == [1]
    assert index.tolist() == [0] * 8


def test_frame_numbers_that_are_missing_are_longer_intervals() -> None:
    dataset = movies(numbers=[1, 2, 3, 7, 2, 3, 5, 9])
    assert before_each(dataset) == [0, 1, 1, 4, 0, 1, 2, 0]
    assert frame_intervals(dataset)[0].tolist() == [1, 2, 4]


def test_times_go_before_frame_numbers() -> None:
    times = [0.0, 0.1, 0.2, 0.5, 7.0, 7.1, 7.15, 3.0]
    assert before_each(movies(times=times)) == pytest.approx([0, 1, 1, 3, 0, 1, 0.5, 0])


@pytest.mark.parametrize("factor", [1e-9, 1.0, 3600.0])
def test_the_unit_of_time_cancels(factor) -> None:
    times = factor * np.array([0, 1, 3, 4, 0, 1, 2, 0])
    assert before_each(movies(times=list(times))) == pytest.approx([0, 1, 2, 1, 0, 1, 1, 0])


@pytest.mark.parametrize(
    "times",
    [
        [np.nan] * 8,
        [0, 1, np.nan, 5, 0, 1, 2, 0],
        [0, 1, 1, 5, 0, 1, 2, 0],
        [0, 1, 5, 3, 0, 1, 2, 0],
        [0, 1, 2, np.inf, 0, 1, 2, 0],
    ],
)
def test_times_that_do_not_rise_in_every_movie_are_not_used(times) -> None:
    dataset = movies(numbers=[1, 2, 4, 5, 1, 2, 3, 1], times=times)
    assert before_each(dataset) == [0, 1, 2, 1, 0, 1, 1, 0]


def test_a_time_that_is_unknown_matters_only_between_frames() -> None:
    dataset = movies(times=[0, 2, 4, 8, 0, 2, 4, np.nan])
    assert before_each(dataset) == [0, 1, 1, 2, 0, 1, 1, 0]


def test_times_that_differ_by_less_than_a_hundredth_are_one_interval() -> None:
    times = np.array([0, 1.002, 1.999, 3.001, 0, 1, 3.004, 0])
    intervals, _ = frame_intervals(movies(times=list(times)))
    assert intervals.tolist() == pytest.approx([1, 2])


def test_irregular_times_are_as_many_intervals() -> None:
    times = [0, 1, 2.13, 3.4, 0, 0.5, 1.5, 0]
    assert before_each(movies(times=times)) == pytest.approx([0, 1, 1.13, 1.27, 0, 0.5, 1, 0])


def test_no_interval_is_rounded_to_nothing() -> None:
    times = [0, 1, 1.0001, 2, 0, 1, 2, 0]
    assert min(frame_intervals(movies(times=times))[0]) == pytest.approx(0.01)


def test_rows_in_another_order_have_the_same_intervals() -> None:
    blobs = simulate_blobs(LENGTHS)
    numbers = np.array([1, 2, 3, 7, 2, 3, 5, 9])
    blobs = replace(blobs, dataset=replace(blobs.dataset, frame_numbers=numbers))
    order = [5, 0, 7, 3, 1, 6, 4, 2]
    found = before_each(blobs.take(order).dataset)
    assert found == [before_each(blobs.dataset)[row] for row in order]


def test_movies_of_one_frame_have_no_intervals() -> None:
    intervals, index = frame_intervals(movies(lengths=(1, 1, 1)))
    assert intervals.tolist() == [1]
    assert index.tolist() == [0, 0, 0]


def test_times_of_frames_start_with_their_movie() -> None:
    dataset = movies(numbers=[1, 2, 3, 7, 2, 3, 5, 9])
    frames = prepare_frames(dataset, DataSettings(), dataset.movies, torch.device("cpu"))
    assert frames.times.tolist() == [0, 1, 2, 6, 0, 1, 3, 0]
    batch = frames.batch([dataset.movies[1], dataset.movies[0][1:][::-1]])
    assert batch.times.tolist() == [0, 1, 3, 6, 2, 1]
    shuffled = dataset.shuffled(seed=3)
    again = frames.in_order_of(shuffled)
    for movie in shuffled.movies:
        assert (again.times[movie].diff() > 0).all()
    assert again.times.sort().values.equal(frames.times.sort().values)
