"""Learning rates, KL weight, resolution and progress, as functions of the position in training."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.networks import LENGTHS, STEPS_PER_EPOCH, tiny_frames, training_of
from temporem.dvae.schedule import Position, Schedule


def schedule_of(method="static", *, learned_poses=False, step_degrees=0.5, **training) -> Schedule:
    return Schedule.plan(
        method,
        training_of(**{"start": "none", **training}),
        tiny_frames(),
        z_dim=2,
        learned_poses=learned_poses,
        step_degrees=step_degrees,
    )


def positions(schedule: Schedule) -> Iterator[Position]:
    """Every position of a training before a step."""
    position = Position()
    for index, stage in enumerate(schedule.stages):
        for epoch in range(stage.first_epoch, stage.end):
            for step in range(schedule.steps_per_epoch(stage)):
                yield replace(position, stage=index, epoch=epoch, step_in_epoch=step)


def rates_of(schedule: Schedule) -> np.ndarray:
    return np.array([schedule.learning_rate(position) for position in positions(schedule)])


def test_equal_epochs_are_about_equal_numbers_of_steps() -> None:
    static, tempor = schedule_of("static"), schedule_of("tempor")
    assert static.steps_per_epoch(static.stages[0]) == STEPS_PER_EPOCH == sum(LENGTHS) // 8
    assert tempor.steps_per_epoch(tempor.stages[0]) == STEPS_PER_EPOCH
    assert schedule_of("tempor", frames_per_step=1).movies_per_step == 1


def test_learning_rate_is_eased_in_constant_and_falls_to_zero() -> None:
    rates = rates_of(schedule_of(epochs=60, learning_rate=1e-3))
    assert len(rates) == 240
    assert rates[0] < 0.1 * 1e-3
    assert (np.diff(rates[:40]) > 0).all()
    np.testing.assert_allclose(rates[60:120], 1e-3)
    # Linear to zero over the last half; the last step is a step before zero.
    np.testing.assert_allclose(rates[120:], 1e-3 * np.arange(120, 0, -1) / 120, rtol=1e-6)


def test_every_stage_starts_gently() -> None:
    schedule = schedule_of("tempor", start="static", epochs=40, learning_rate=1e-3)
    first = {p.stage: schedule.learning_rate(p) for p in reversed(list(positions(schedule)))}
    assert len(first) == 3
    assert max(first.values()) < 1e-4


@pytest.mark.parametrize("steps", [20, 200])
def test_pose_of_a_table_moves_a_step_an_epoch(steps: int) -> None:
    """However many steps an epoch has, an entry with one gradient in it moves as far."""
    schedule = replace(
        schedule_of(learned_poses=True, step_degrees=0.5, frames_per_step=1), n_frames=steps
    )
    constant = Position(epoch=3, step_in_epoch=steps - 1)
    rate = schedule.pose_rate(constant) / (schedule.learning_rate(constant) / 1e-3)
    entry = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([entry], rate)
    for step in range(20 * steps):
        entry.grad = torch.ones(1) * (step % steps == 0)
        optimizer.step()
    assert -float(torch.rad2deg(entry.detach())) == pytest.approx(20 * 0.5, rel=0.35)


def test_kl_weight_rises_to_its_value() -> None:
    schedule = schedule_of(kl_weight=0.8)
    weights = [schedule.kl_weight(epoch) for epoch in range(5)]
    assert 0 < weights[0] < weights[-1]
    assert (np.diff(weights) >= 0).all()
    # The likelihood counts every pixel 1 / share times, and so must the divergence.
    share = schedule.independent_share
    assert 0 < share < 1
    assert weights[-1] == pytest.approx(0.8 / share)
    assert schedule_of().kl_weight(4) == pytest.approx(0.5 / share)  # 1 / z_dim


@pytest.mark.parametrize(
    ("method", "start", "first"),
    [
        ("tempor", "linear", 5),
        ("tempor", "static", 0),
    ],
)
def test_kl_weight_rises_from_the_first_epoch_that_uses_it(method, start, first) -> None:
    schedule = schedule_of(method, start=start, epochs=40, kl_weight=0.9)
    weights = [schedule.independent_share * schedule.kl_weight(epoch) for epoch in range(40)]
    assert weights[:first] == [0] * first
    np.testing.assert_allclose(weights[first:], [0.3, 0.6] + [0.9] * (38 - first))


def test_high_frequencies_are_added_gradually() -> None:
    schedule, radii = schedule_of(epochs=20), tiny_frames().frames.forward_model.support.radii
    pixels = [schedule.n_pixels(epoch) for epoch in range(20)]
    low, high = int((radii <= 0.35 * 6).sum()), len(radii)
    assert pixels[:13] == [low] * 13
    assert pixels[16:] == [high] * 4
    assert (np.diff(pixels) >= 0).all()
    assert low < pixels[14] < high


@pytest.mark.parametrize("options", [{"frequency_marching": False}, {"learned_poses": True}])
def test_all_frequencies_from_the_beginning(options) -> None:
    schedule = schedule_of(**options)
    assert schedule.n_pixels(0) == len(tiny_frames().frames.forward_model.support)


@pytest.mark.parametrize("start", ["linear", "static", "none"])
def test_progress_rises_from_nothing_to_all(start: str) -> None:
    schedule = schedule_of("tempor", start=start)
    done, totals = zip(*(schedule.progress(p) for p in positions(schedule)), strict=True)
    last = schedule.progress(Position(len(schedule.stages) - 1, schedule.training.epochs))
    assert done[0] == pytest.approx(0, abs=1e-9)
    assert (np.diff(done) > 0).all()
    assert last[0] == pytest.approx(totals[0])
    assert set(totals) == {last[1]}
