"""Batches of training: whole movies or single frames, each once an epoch; shares; pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.networks import STEPS_PER_EPOCH, tiny_frames, training_of
from temporem.distributed import ProcessGroup
from temporem.dvae.batching import PixelDraws, StepBatch, epoch_batches, random_clips
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.schedule import Position, Schedule


def batches_of(
    encoded: EncodedFrames,
    method: str,
    epoch: int,
    seed: int = 0,
    step_in_epoch: int = 0,
    random_clips: bool = True,
) -> list[StepBatch]:
    training = training_of(start="none", random_clips=random_clips)
    schedule = Schedule.plan(method, training, encoded, z_dim=2)
    position = Position(epoch=epoch, step_in_epoch=step_in_epoch)
    return list(epoch_batches(encoded, schedule, position, seed=seed))


def rows_of(batches: list[StepBatch]) -> list[int]:
    return [int(row) for batch in batches if batch.own is not None for row in batch.own.rows]


@pytest.mark.parametrize(
    ("method", "random_clips"), [("static", True), ("tempor", True), ("tempor", False)]
)
def test_an_epoch_shows_every_frame_once_in_an_order_of_its_own(
    method: str, random_clips: bool
) -> None:
    encoded = tiny_frames()
    orders = set()
    for epoch, seed in ((0, 0), (1, 0), (0, 1)):
        batches = batches_of(encoded, method, epoch, seed, random_clips=random_clips)
        assert len(batches) == STEPS_PER_EPOCH
        assert sorted(rows_of(batches)) == list(range(32))
        for batch in batches:
            assert batch.own is not None
            assert batch.own.rotations.equal(encoded.frames.rotations[batch.own.rows])
            assert batch.own.times.equal(encoded.frames.times[batch.own.rows])
            if method == "tempor" and not random_clips:  # whole movies, in order of time
                movies = [movie.tolist() for movie in encoded.frames.movies]
                for movie in batch.own.rows.split(batch.own.lengths.tolist()):
                    assert movie.tolist() in movies
        orders.add(tuple(rows_of(batches)))
    assert len(orders) == 3
    again = rows_of(batches_of(encoded, method, 1, random_clips=random_clips))
    assert again in map(list, orders)


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_an_epoch_that_goes_on_shows_the_rest(method: str) -> None:
    whole = batches_of(tiny_frames(), method, 2)
    rest = batches_of(tiny_frames(), method, 2, step_in_epoch=3)
    assert rows_of(rest) == rows_of(whole[3:])
    assert [b.own.lengths.tolist() for b in rest] == [b.own.lengths.tolist() for b in whole[3:]]


def test_clips_are_the_parts_of_a_movie_played_either_way() -> None:
    movie, order = np.array([5, 3, 8, 1, 9, 2]), np.random.default_rng(0)
    shown, cuts = set(), set()
    for _ in range(400):
        clips = [clip.tolist() for clip in random_clips(movie, order)]
        assert len(clips) <= 2
        place = movie.tolist().index
        forwards = [c if place(c[0]) <= place(c[-1]) else c[::-1] for c in clips]
        # Every frame once, and neighbours stay neighbours.
        assert [row for clip in forwards for row in clip] == movie.tolist()
        cuts.add(len(forwards[0]))
        shown |= {tuple(clip) for clip in clips}
    assert cuts == {1, 2, 3, 4, 5, 6}  # cut anywhere, or whole
    for part in (movie, movie[:4], movie[4:]):
        assert tuple(part) in shown
        assert tuple(part[::-1]) in shown


def test_a_movie_of_one_frame_is_a_clip() -> None:
    order = np.random.default_rng(0)
    for _ in range(20):
        (clip,) = random_clips(np.array([7]), order)
        assert clip.tolist() == [7]


def test_clips_of_a_movie_are_in_one_step_and_new_in_every_epoch() -> None:
    encoded, found = tiny_frames(), {}
    for epoch in range(6):
        for batch in batches_of(encoded, "tempor", epoch):
            assert batch.own is not None
            rows = set(batch.own.rows.tolist())
            for movie in encoded.frames.movies:
                assert rows.isdisjoint(movie.tolist()) or rows.issuperset(movie.tolist())
            for clip in batch.own.rows.split(batch.own.lengths.tolist()):
                steps = clip.diff()  # rows of a movie are numbered in order of time
                assert (steps == 1).all() or (steps == -1).all()
                found.setdefault(epoch, set()).add(tuple(clip.tolist()))
    assert all(found[epoch] != found[0] for epoch in range(1, 6))
    clips = set().union(*found.values())
    whole = {tuple(movie.tolist()) for movie in encoded.frames.movies}
    assert clips & whole
    assert clips & {movie[::-1] for movie in whole}
    assert any(len(clip) == 1 for clip in clips)


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_processes_share_the_frames_and_random_numbers_of_a_step(method: str) -> None:
    encoded = tiny_frames()
    alone = batches_of(encoded, method, 0)
    shares = [
        batches_of(
            replace(encoded, frames=replace(encoded.frames, processes=ProcessGroup(rank, 3))),
            method,
            0,
        )
        for rank in range(3)
    ]
    cpu = torch.device("cpu")
    for step, whole in enumerate(alone):
        parts = [share[step] for share in shares]
        assert rows_of(parts) == rows_of([whole])
        assert {part.n_frames for part in parts} == {whole.n_frames} == {len(rows_of([whole]))}
        drawn = [
            part.noise(5, step, cpu).normal(len(part.own.rows), 2)
            for part in parts
            if part.own is not None
        ]
        expected = whole.noise(5, step, cpu).normal(whole.n_frames, 2)
        assert torch.cat(drawn).equal(expected)


def test_pixels_are_a_function_of_seed_and_step() -> None:
    frames = tiny_frames().frames
    support, importance = frames.forward_model.support, frames.statistics.pixel_importance
    one, again, other = (PixelDraws(support, importance, 24, seed) for seed in (0, 0, 1))
    again(30, 0)  # whatever was drawn before
    assert one(55, 7).index.equal(again(55, 7).index)
    assert not one(55, 7).index.equal(one(55, 8).index)
    assert not one(55, 7).index.equal(other(55, 7).index)
    assert int(one(30, 3).index.max()) < 30
    counts = [len(one(55, step).index) for step in range(20)]
    assert set(counts) <= {23, 24, 25}
    assert np.mean(counts) == pytest.approx(24, abs=1)
