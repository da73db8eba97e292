"""Rates between basins from noisy latents at uneven times."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.planted import planted_jumps

from temporem.kinetics.jumps import fit_jumps, resample_jumps, state_probabilities

TWO = [[0, 1.0], [0.6, 0]]
CENTRES = [-1.0, 1.0]


def test_two_states_are_found_with_their_rates() -> None:
    measured, _ = planted_jumps(TWO, CENTRES, noise=0.37, movies=150, seed=1)
    fit = fit_jumps(measured, 2)
    np.testing.assert_allclose(fit.centres, CENTRES, atol=0.1)
    np.testing.assert_allclose(fit.rates[[0, 1], [1, 0]], [1.0, 0.6], rtol=0.25)
    assert fit.populations[0] == pytest.approx(0.6 / 1.6, abs=0.08)
    assert fit.relaxation == pytest.approx(1 / fit.rates.sum())
    np.testing.assert_allclose(fit.dwells, 1 / fit.rates.sum(1))


def test_rates_do_not_depend_on_the_unit_of_x_nor_of_time() -> None:
    measured, _ = planted_jumps(TWO, CENTRES, noise=0.3, movies=30, seed=2)
    other = type(measured)(
        measured.score / 50,
        measured.information / 2500,
        60 * measured.times,
        measured.movies,
    )
    one, two = fit_jumps(measured, 2), fit_jumps(other, 2)
    np.testing.assert_allclose(two.centres, 50 * one.centres, rtol=1e-2)
    np.testing.assert_allclose(60 * two.rates, one.rates, rtol=1e-2)


def test_noise_does_not_become_jumps() -> None:
    """Ignoring the frames' own noise, a hidden chain would see it as fast jumps."""
    measured, _ = planted_jumps(TWO, CENTRES, noise=1.0, movies=150, seed=3)
    fit = fit_jumps(measured, 2)
    np.testing.assert_allclose(fit.rates[[0, 1], [1, 0]], [1.0, 0.6], rtol=0.35)


def test_three_states_in_a_row_jump_to_neighbours_only() -> None:
    rates = [[0, 1.0, 0], [1.0, 0, 1.0], [0, 1.0, 0]]
    measured, _ = planted_jumps(rates, [-1.2, 0, 1.2], noise=0.25, movies=120, seed=4)
    fit = fit_jumps(measured, 3)
    np.testing.assert_allclose(fit.centres, [-1.2, 0, 1.2], atol=0.15)
    np.testing.assert_allclose(fit.rates[[0, 1, 1, 2], [1, 0, 2, 1]], 1.0, rtol=0.35)
    assert max(fit.rates[0, 2], fit.rates[2, 0]) < 0.2
    balance = fit.populations[:, None] * fit.rates
    np.testing.assert_allclose(balance, balance.T, atol=1e-9)


def test_states_of_frames_and_jumps_are_seen_where_there_is_little_noise() -> None:
    measured, state = planted_jumps(TWO, CENTRES, noise=0.1, movies=20, missing=0.0, seed=5)
    probabilities, jumps = state_probabilities(measured, fit_jumps(measured, 2))
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (probabilities.argmax(1) == state).mean() > 0.99
    path = state.reshape(20, -1)
    seen = ((path[:, :-1] == 0) & (path[:, 1:] == 1)).sum()
    # Some jumps happen and are undone between two frames.
    assert seen <= jumps[0, 1] + 1e-6
    assert jumps[0, 1] == pytest.approx(seen, rel=0.15)


def test_resampled_movies_are_fitted_as_if_alone() -> None:
    """Fitting the movies that a sample holds gives its numbers."""
    measured, _ = planted_jumps(TWO, CENTRES, noise=0.37, movies=40, seed=6)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(40, np.full(40, 1 / 40), size=3).astype(float)
    fit = fit_jumps(measured, 2)
    for own, found in zip(weights, resample_jumps(measured, fit, weights), strict=True):
        movies = [rows for rows, n in zip(measured.movies, own, strict=True) for _ in range(int(n))]
        part = type(measured)(measured.score, measured.information, measured.times, movies)
        alone = fit_jumps(part, 2)
        np.testing.assert_allclose(found.rates, alone.rates, rtol=0.05, atol=1e-3)
        np.testing.assert_allclose(found.centres, alone.centres, atol=0.02)
