"""Kinetics with intervals, and what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.planted import planted_diffusion, planted_jumps

from temporem.errors import TemporemError
from temporem.kinetics.measurements import Measurements
from temporem.kinetics.study import study
from temporem.kinetics.words import sentences

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def jumping():
    measured, _ = planted_jumps([[0, 1.0], [0.6, 0]], [-1.0, 1.0], noise=0.3, movies=50, seed=7)
    return study(measured, samples=20)


def test_jumps_are_told_from_diffusion(jumping) -> None:
    facts = jumping.facts
    assert facts.hops
    assert len(facts.basins) == 2
    rates = {(r.start, r.end): r for r in facts.rates}
    assert all(rate.known and rate.jumps > 10 for rate in rates.values())
    for rate, true in ((rates[1, 2], 1.0), (rates[2, 1], 0.6)):
        assert rate.rate.low < rate.rate.value < rate.rate.high
        assert rate.rate.value == pytest.approx(true, rel=0.5)
    text = " ".join(sentences(facts))
    assert "jumps between 2 basins" in text
    assert "No diffusion coefficient" in text


def test_energies_are_lowest_in_the_basins(jumping) -> None:
    x, energy, low, high = jumping.facts.energy.arrays()
    seen = np.isfinite(energy)
    assert abs(abs(x[np.nanargmin(energy)]) - 1) < 0.35
    assert (low[seen] <= energy[seen] + 0.3).all()
    assert (high[seen] >= energy[seen] - 0.3).all()
    assert energy[np.abs(x).argmin()] > 1 or not seen[np.abs(x).argmin()]


def test_movies_without_jumps_cannot_tell_a_rate() -> None:
    """They are far shorter than a dwell, so they give only an upper limit."""
    measured, _ = planted_jumps([[0, 0.01], [0.01, 0]], [-1.0, 1.0], noise=0.3, movies=30, seed=8)
    facts = study(measured, states=2, samples=20).facts
    assert not any(rate.known for rate in facts.rates)
    assert all(rate.limit is not None and rate.limit > 0.01 for rate in facts.rates)
    assert not any(basin.dwell_known for basin in facts.basins)
    text = " ".join(sentences(facts))
    assert "Rate 1 → 2: cannot tell" in text
    assert "cannot tell how long a stay lasts" in text
    assert "Cannot tell how fast populations relax" in text


def test_diffusion_is_not_taken_for_jumps_and_can_be_forecast() -> None:
    measured, x = planted_diffusion(0.5, noise=0.3, movies=60, frames=30, missing=0.0, seed=9)
    early = [rows[:20] for rows in measured.movies]
    part = Measurements(measured.score, measured.information, measured.times, early)
    found = study(part, samples=20)
    assert found.facts.hops is False
    assert found.facts.diffusion_known
    text = " ".join(sentences(found.facts))
    assert "Diffusion along x describes the frames better" in text
    assert "Basin 1" not in text
    assert found.facts.diffusion.low < 2.0 < found.facts.diffusion.high
    truth = x.reshape(60, 30)[:, 20:]
    inside = (found.forecast.low <= truth) & (truth <= found.forecast.high)
    assert 0.8 < inside.mean() < 0.98
    width = (found.forecast.high - found.forecast.low).mean(0)
    assert width[0] < 0.9 * width[-1]


def test_movies_that_drift_are_not_in_equilibrium() -> None:
    measured, _ = planted_jumps([[0, 1.0], [0.6, 0]], [-1.0, 1.0], noise=0.3, movies=40, seed=10)
    moved = measured.score + 1.5 * measured.times * measured.information
    drifting = Measurements(moved, measured.information, measured.times, measured.movies)
    facts = study(drifting, states=1, samples=20).facts
    assert any("not in equilibrium" in text for text in facts.warnings)


def test_few_movies_are_refused() -> None:
    measured, _ = planted_jumps([[0, 1.0], [0.6, 0]], [-1.0, 1.0], noise=0.3, movies=5)
    with pytest.raises(TemporemError, match="5 movies"):
        study(measured)


def test_latents_that_say_nothing_are_refused() -> None:
    measured, _ = planted_jumps([[0, 1.0], [0.6, 0]], [-1.0, 1.0], noise=0.3, movies=9)
    none = np.zeros_like(measured.score)
    with pytest.raises(TemporemError, match="no frame"):
        study(Measurements(none, none, measured.times, measured.movies))
