"""Groups of points."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from temporem.physics.k_means import k_means, n_different


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_more_groups_than_different_points(dtype: type) -> None:
    """Rounding makes no new points, wherever the origin is."""
    places = np.array([[100.0, 0], [101, 0], [100, 5]], dtype=dtype)
    points = places[np.arange(30) % 3] + np.linspace(0, 1e-9, 30)[:, None].astype(dtype)
    assert n_different(points) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = k_means(points, 12, starts=2)
    assert len(found.centres) == 3
    assert len({tuple(found.label[i::3]) for i in range(3)}) == 3
    np.testing.assert_allclose(found.centres[found.label], points, atol=1e-5)


def test_equal_points_are_one_group() -> None:
    found = k_means(np.ones((5, 2)), 4, starts=1)
    np.testing.assert_array_equal(found.label, 0)


def test_groups_are_those_that_there_are() -> None:
    group = np.random.default_rng(0).integers(3, size=60)
    points = 10.0 * group[:, None] + np.random.default_rng(1).normal(size=(60, 1))
    found = k_means(points, 3, starts=4)
    assert all(len(set(found.label[group == g])) == 1 for g in range(3))
    assert len(found.centres) == 3
