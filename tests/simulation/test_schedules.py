"""Schedules of simulated movies have the physics that they name."""

import math

import numpy as np
import pytest
import torch

from temporem.simulation.schedules.diffusion import Diffusion, SmoothPotential
from temporem.simulation.schedules.jumps import Jumps
from temporem.simulation.schedules.wander import Wander


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Wander


def wander(**settings: object) -> Wander:
    still = {"reversals_per_second": 0, "rests_per_second": 0}
    return Wander.model_validate({**still, **settings})


def test_without_turns_a_movie_goes_to_and_fro_at_its_own_speed() -> None:
    paths = wander(speed_per_second=(0.5, 2)).progress(500, 40, 0.05, generator()).numpy()
    assert paths.min() >= 0
    assert paths.max() <= 1
    steps = np.abs(np.diff(paths)) / 0.05
    speed = steps.max(axis=1)
    # The two steps around an end are shorter, all others have the speed of the movie.
    assert (np.isclose(steps, speed[:, None]).mean(axis=1) > 0.8).all()
    assert speed.min() > 0.5
    assert speed.max() < 2
    assert speed.mean() == pytest.approx(1.25, abs=0.06)
    assert paths[:, 0].mean() == pytest.approx(0.5, abs=5 * 0.29 / math.sqrt(500))


def test_places_stay_uniform_on_the_path() -> None:
    schedule = Wander(reversals_per_second=2, rests_per_second=1, rest_seconds=0.5)
    paths = schedule.progress(4000, 30, 0.2, generator()).numpy()
    for t in (0, 3, 29):
        counts = np.histogram(paths[:, t], bins=10, range=(0, 1))[0]
        assert np.abs(counts - 400).max() < 5 * math.sqrt(400)


def test_reversals_and_rests_come_at_their_rates() -> None:
    """A slow molecule meets no end, so that every change of direction is a reversal."""
    slow = {"speed_per_second": (1e-4, 1e-4)}
    paths = wander(**slow, reversals_per_second=3).progress(2000, 101, 0.01, generator()).numpy()
    velocity = np.diff(paths) / 0.01 / 1e-4
    # ⟨v(0) v(t)⟩ = exp(−2 r t) of a telegraph process, at t = 0.1 and 0.3 s.
    for lag in (10, 30):
        found = (velocity[:, lag:] * velocity[:, :-lag]).mean()
        assert found == pytest.approx(math.exp(-6 * lag * 0.01), abs=0.03)

    schedule = wander(**slow, rests_per_second=2, rest_seconds=0.5)
    paths = schedule.progress(2000, 101, 0.01, generator()).numpy()
    moving = np.abs(np.diff(paths)) / 0.01 / 1e-4
    assert moving.mean() == pytest.approx(0.5, abs=0.03)  # 1 / (1 + rate · rest)
    assert moving[:, :10].mean() == pytest.approx(moving[:, -10:].mean(), abs=0.05)
    begins = ((moving[:, :-1] > 0.999) & (moving[:, 1:] < 0.999)).sum() / moving.sum() / 0.01
    assert begins == pytest.approx(2, rel=0.1)


def test_a_wanderer_has_the_same_path_whatever_the_interval_of_frames() -> None:
    schedule = Wander(reversals_per_second=2, rests_per_second=2)
    coarse = schedule.progress(50, 11, 0.2, generator())
    fine = schedule.progress(50, 41, 0.05, generator())
    assert fine[:, ::4].allclose(coarse, atol=1e-9)


def test_a_molecule_may_stay_where_it_is() -> None:
    paths = wander(speed_per_second=(0, 0)).progress(20, 10, 1.0, generator())
    assert paths.equal(paths[:, :1].expand(-1, 10))
    assert paths[:, 0].unique().numel() == 20


# Diffusion


def test_mean_square_displacement_is_2dt_on_a_flat_path() -> None:
    schedule = Diffusion(diffusion_per_second=0.3)
    paths = schedule.progress(20_000, 5, 0.005, generator()).numpy()
    inside = (paths[:, 0] > 0.35) & (paths[:, 0] < 0.65)  # the ends are out of reach
    for t in range(1, 5):
        moved = (paths[inside, t] - paths[inside, 0]) ** 2
        expected = 2 * 0.3 * 0.005 * t
        assert moved.mean() == pytest.approx(expected, rel=5 * math.sqrt(2 / inside.sum()))


def test_on_a_flat_path_between_reflecting_ends_cosines_decay() -> None:
    """``⟨cos πx(0) cos πx(t)⟩ = exp(−π² D t) / 2``, at any interval of frames."""
    for frames, interval in ((3, 0.5), (11, 0.1)):
        paths = Diffusion(diffusion_per_second=0.1).progress(20_000, frames, interval, generator())
        first, last = (torch.cos(math.pi * paths[:, t]) for t in (0, -1))
        expected = math.exp(-(math.pi**2) * 0.1) / 2
        assert (first * last).mean() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("potential", [[0, 2, -1, 3], [4, 0, 4], [0, 3], [0, 6, 1, 6, 0]])
def test_places_are_boltzmann_distributed_at_the_start_and_later(potential: list[float]) -> None:
    schedule = Diffusion(diffusion_per_second=1, potential_kt=potential)
    paths = schedule.progress(3000, 4, 0.02, generator()).numpy()
    grid = (np.arange(20_000) + 0.5) / 20_000
    weights = np.exp(-SmoothPotential(potential)(grid)[0])
    expected = 3000 * weights.reshape(20, -1).sum(1) / weights.sum()
    for t in (0, 1, 3):
        counts = np.histogram(paths[:, t], bins=20, range=(0, 1))[0]
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 5).all()


def test_equilibrium_is_found_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dynamics lead to the Boltzmann distribution, and not only keep it."""
    start = lambda self, uniform: np.full_like(uniform, 0.1)  # noqa: E731
    monkeypatch.setattr(SmoothPotential, "equilibrium", start)
    schedule = Diffusion(diffusion_per_second=2, potential_kt=[0, 1, -1])
    last = schedule.progress(3000, 2, 1.0, generator())[:, -1].numpy()
    grid = (np.arange(20_000) + 0.5) / 20_000
    weights = np.exp(-SmoothPotential([0, 1, -1])(grid)[0])
    expected = weights.reshape(10, -1).sum(1) / weights.sum()
    counts = np.histogram(last, bins=10, range=(0, 1))[0] / 3000
    assert np.abs(counts - expected).max() < 0.04


def test_a_molecule_drifts_down_a_slope_and_jitters_about_a_well() -> None:
    """Near a minimum ``x`` is an Ornstein-Uhlenbeck process: it forgets with rate D U″."""
    potential = [float(40 * (x - 0.5) ** 2 * 4) for x in np.linspace(0, 1, 21)]
    schedule = Diffusion(diffusion_per_second=0.01, potential_kt=potential)
    paths = schedule.progress(3000, 4, 0.1, generator()).numpy() - 0.5
    assert paths.var() == pytest.approx(1 / 320, rel=0.1)
    for lag in (1, 3):
        found = (paths[:, lag] * paths[:, 0]).mean() / paths.var()
        assert found == pytest.approx(math.exp(-0.01 * 320 * 0.1 * lag), abs=0.05)


def test_the_potential_passes_through_its_values_without_overshoot() -> None:
    values = [0.0, 5.0, 4.9, 1.0, 1.0, 8.0]
    potential = SmoothPotential(values)
    points = np.linspace(0, 1, 6)
    assert potential(points)[0] == pytest.approx(values)
    fine = np.linspace(0, 1, 5001)
    energy, slope = potential(fine)
    assert energy.min() >= 0
    assert energy.max() <= 8
    assert np.gradient(energy, fine)[1:-1] == pytest.approx(slope[1:-1], abs=0.2)
    assert potential(-fine)[0] == pytest.approx(energy)  # even about both ends
    assert potential(2 - fine)[0] == pytest.approx(energy)
    assert (np.sign(energy[1001:2000] - energy[1000:1999]) <= 0).all()


# Jumps


def test_jumps_have_the_occupancy_and_memory_of_their_rates() -> None:
    schedule = Jumps(rates_per_second=(3, 1), between=(0.2, 0.7))
    paths = schedule.progress(20_000, 8, 0.1, generator()).numpy()
    assert set(np.unique(paths)) == {0.2, 0.7}
    second = paths == 0.7
    for t in (0, 7):
        assert second[:, t].mean() == pytest.approx(0.75, abs=5 * 0.43 / math.sqrt(20_000))
    centred = second - 0.75
    for lag in (1, 2, 7):
        found = (centred[:, lag] * centred[:, 0]).mean() / (0.75 * 0.25)
        assert found == pytest.approx(math.exp(-4 * 0.1 * lag), abs=0.03)
