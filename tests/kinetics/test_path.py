"""A curve through latents that no single latent follows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from temporem.kinetics.path import principal_path


def test_the_path_follows_a_bend() -> None:
    """Two thirds of a circle, over which the first latent rises and falls."""
    rng = np.random.default_rng(0)
    true = rng.random(400)
    angle = np.deg2rad(240) * (true - 0.5)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    information = np.tile(200 * np.eye(2), (400, 1, 1))
    noisy = circle + rng.standard_normal((400, 2)) / 200**0.5
    score = np.einsum("npq,nq->np", information, noisy)
    path = principal_path(noisy, information.mean(0))
    assert np.linalg.norm(path.latents[(path.places >= 0) & (path.places <= 1)], axis=1).min() > 0.9
    j, h = path.measure(information, score)
    place = h / j
    assert abs(spearmanr(place, true).statistic) > 0.98
    length = np.deg2rad(240)
    error = np.median(j**-0.5) * length
    assert error == pytest.approx(200**-0.5, rel=0.2)
    slope, start = np.polyfit(true, place, 1)
    assert abs(slope) == pytest.approx(1, rel=0.05)
    rest = (place - slope * true - start) * length
    assert rest.std() == pytest.approx(error, rel=0.5)


def test_a_frame_without_information_says_nothing_of_its_place() -> None:
    rng = np.random.default_rng(1)
    line = np.stack([rng.random(100), 0.1 * rng.random(100)], axis=1)
    path = principal_path(line, np.eye(2))
    j, h = path.measure(np.zeros((1, 2, 2)), np.zeros((1, 2)))
    assert (j[0], h[0]) == pytest.approx((0, 0), abs=1e-6)
