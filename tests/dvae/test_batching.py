"""Batches of training: whole movies or single frames, each once an epoch; shares; pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.networks import STEPS_PER_EPOCH, tiny_frames, training_of
from temporem.distributed import ProcessGroup
from temporem.dvae.batching import PixelDraws, StepBatch, epoch_batches
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.schedule import Position, Schedule


def batches_of(
    encoded: EncodedFrames, method: str, epoch: int, seed: int = 0, step_in_epoch: int = 0
) -> list[StepBatch]:
    training = training_of(start="none")
    schedule = Schedule.plan(method, training, encoded, z_dim=2)
    position = Position(epoch=epoch, step_in_epoch=step_in_epoch)
    return list(epoch_batches(encoded, schedule, position, seed=seed))


def rows_of(batches: list[StepBatch]) -> list[int]:
    return [int(row) for batch in batches if batch.own is not None for row in batch.own.rows]


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_an_epoch_shows_every_frame_once_in_an_order_of_its_own(method: str) -> None:
    encoded = tiny_frames()
    orders = set()
    for epoch, seed in ((0, 0), (1, 0), (0, 1)):
        batches = batches_of(encoded, method, epoch, seed)
        assert len(batches) == STEPS_PER_EPOCH
        assert sorted(rows_of(batches)) == list(range(32))
        for batch in batches:
            assert batch.own is not None
            assert batch.own.rotations.equal(encoded.frames.rotations[batch.own.rows])
            if method == "tempor":  # whole movies, in order of time
                movies = [movie.tolist() for movie in encoded.frames.movies]
                for movie in batch.own.rows.split(batch.own.lengths.tolist()):
                    assert movie.tolist() in movies
        orders.add(tuple(rows_of(batches)))
    assert len(orders) == 3
    assert rows_of(batches_of(encoded, method, 1)) in map(list, orders)  # and the same again


def test_an_epoch_that_goes_on_shows_the_rest() -> None:
    whole = rows_of(batches_of(tiny_frames(), "static", 2))
    assert rows_of(batches_of(tiny_frames(), "static", 2, step_in_epoch=3)) == whole[24:]


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
