"""The blob movies are what they say."""

import numpy as np
import pytest

from helpers.blobs import simulate_blobs


def test_movies_are_as_described() -> None:
    blobs = simulate_blobs([6, 4, 5], snr=0.5, shift_sd_angstrom=5.0)
    data = blobs.dataset
    assert data.images.shape == (15, 16, 16)
    assert data.images.dtype == np.float32
    assert [list(movie) for movie in data.movies] == [
        [*range(6)],
        [*range(6, 10)],
        [*range(10, 15)],
    ]
    for movie in data.movies:
        assert (blobs.angles[movie].diff() > 0).all()
        assert len({data.particle_names[row] for row in movie}) == 1
    clean = simulate_blobs([6, 4, 5], snr=1e12, shift_sd_angstrom=5.0).dataset.images
    noise = data.images - clean
    assert clean.var() / noise.var() == pytest.approx(0.5, rel=0.05)
    assert noise.var() == pytest.approx(blobs.noise_variance, rel=0.05)
    # The moving part is a good part of the molecule, so that its motion can be learned.
    volumes = simulate_blobs([10] * 10).volumes()
    motion = (volumes - volumes.mean(0)).abs().square().sum() / volumes.abs().square().sum()
    assert 0.1 < motion < 0.4


def test_rows_can_stand_in_any_order() -> None:
    blobs = simulate_blobs([3, 4])
    order = np.array([4, 0, 6, 2, 1, 5, 3])
    taken = blobs.take(order)
    for movie, shuffled in zip(blobs.dataset.movies, taken.dataset.movies, strict=True):
        np.testing.assert_array_equal(taken.dataset.images[shuffled], blobs.dataset.images[movie])
        assert taken.angles[shuffled].equal(blobs.angles[movie])
