"""Drift of a still background is found at low signal, and not invented where there is none."""

import numpy as np
import pytest
from scipy import ndimage

from temporem.extraction.drift import measure_drift
from temporem.extraction.sums import group_means
from temporem.io.microscope.movie import FieldMovie

EDGE, FRAMES = 128, 48


def movie(path: np.ndarray, snr: float, seed: int = 0) -> FieldMovie:
    """Frames of one periodic texture of variance ``snr`` in noise of 1, moved along a path."""
    random = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(random.standard_normal((EDGE, EDGE)), 2, mode="wrap")
    transformed = np.fft.rfft2(texture * snr**0.5 / texture.std())
    ky, kx = np.fft.fftfreq(EDGE)[:, None], np.fft.rfftfreq(EDGE)[None]
    frames = [
        np.fft.irfft2(transformed * np.exp(-2j * np.pi * (kx * x + ky * y)), s=(EDGE, EDGE))
        + random.standard_normal((EDGE, EDGE))
        for x, y in path
    ]
    pixels = np.array(frames)
    return FieldMovie(None, "test", pixels.shape, lambda start, stop: pixels[start:stop])


@pytest.mark.parametrize("snr", [1.0, 1 / 16])
def test_known_drift(snr):
    turn = np.linspace(0, 1.5, FRAMES)
    path = 12 * np.stack([np.sin(turn), 1 - np.cos(turn)], axis=1)
    found = measure_drift(group_means(movie(path, snr)))
    assert found.measured
    assert np.sqrt(np.square(found.shifts - path).sum(axis=1).mean()) < 0.4


def test_no_drift():
    found = measure_drift(group_means(movie(np.zeros((FRAMES, 2)), 1 / 16)))
    assert found.measured
    assert np.abs(found.shifts).max() < 0.3


def test_noise_alone_has_no_drift():
    found = measure_drift(group_means(movie(np.zeros((FRAMES, 2)), 0.0)))
    assert not found.measured
    assert not found.shifts.any()
