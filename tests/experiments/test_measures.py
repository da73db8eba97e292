"""Intervals over seeds and over movies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from temporem.experiments.measures import Record, over_movies, over_seeds


def test_intervals_over_seeds_are_students() -> None:
    values = [0.2, 0.5, 0.3]
    interval = over_seeds([*values, None])
    half = student.ppf(0.975, 2) * np.std(values, ddof=1) / math.sqrt(3)
    assert interval == pytest.approx(
        (np.mean(values), np.mean(values) - half, np.mean(values) + half, 3)
    )
    single = over_seeds([0.4])
    assert single.mean == 0.4
    assert math.isnan(single.low)
    assert over_seeds([None]) is None


def test_intervals_over_movies_add_up_in_squares_between_seeds() -> None:
    def row(value, low, high):
        return Record("d", "m", 0, "gain", value, low, high)

    rows = [row(1.0, 0.4, 1.5), row(2.0, 1.2, 3.2)]
    assert over_movies(rows) == pytest.approx((1.5, 1.5 - 1.0 / 2, 1.5 + 1.3 / 2, 2))
    assert over_movies(rows[:1]) == (1.0, 0.4, 1.5, 1)
    assert math.isnan(over_movies([*rows, row(1.0, None, None)]).low)
    assert over_movies([row(None, None, None)]) is None


def test_intervals_over_movies_are_those_of_a_bootstrap_of_all_seeds() -> None:
    """Frames of three seeds: means of movies drawn again within every seed."""
    rng = np.random.default_rng(0)
    seeds = [rng.normal(loc, 1, 50) for loc in (0, 1, 5)]
    rows, draws = [], []
    for values in seeds:
        drawn = values[rng.integers(50, size=(4000, 50))].mean(1)
        rows.append(Record("d", "m", 0, "gain", values.mean(), *np.quantile(drawn, [0.025, 0.975])))
        draws.append(drawn)
    low, high = np.quantile(np.mean(draws, axis=0), [0.025, 0.975])
    found = over_movies(rows)
    assert found.high - found.low == pytest.approx(high - low, rel=0.05)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
