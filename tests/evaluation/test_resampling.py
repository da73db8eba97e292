"""The bootstrap over movies."""

import math

import numpy as np
import pytest

from temporem.evaluation.resampling import BootstrapSettings, MovieBootstrap


def test_bootstrap_interval_of_a_mean_has_the_width_of_the_normal_approximation():
    rng = np.random.default_rng(7)
    per_movie = rng.normal(size=200)
    movie = np.repeat(np.arange(200), 5)
    # Frames of one movie repeat each other: the interval must not shrink with their number.
    bootstrap = MovieBootstrap(movie, BootstrapSettings(samples=4000))
    low, high = bootstrap.interval(bootstrap.means(per_movie[movie]))
    half_width = 1.96 * per_movie.std() / math.sqrt(200)
    assert high - low == pytest.approx(2 * half_width, rel=0.1)
    assert low < per_movie.mean() < high


def test_bootstrap_means_weigh_frames_not_movies():
    movie = np.array([4, 4, 4, 9])
    bootstrap = MovieBootstrap(movie, BootstrapSettings(samples=50))
    values = np.array([[1.0, 10.0], [2.0, 10.0], [3.0, 10.0], [8.0, 10.0]])
    for weights, mean in zip(bootstrap.weights, bootstrap.means(values), strict=True):
        expected = (weights[0] * 6 + weights[1] * 8) / (weights[0] * 3 + weights[1])
        assert mean.tolist() == pytest.approx([expected, 10.0])


def test_one_movie_has_no_interval():
    bootstrap = MovieBootstrap(np.zeros(5), BootstrapSettings(samples=10))
    assert np.isnan(bootstrap.interval(bootstrap.means(np.arange(5.0)))).all()
