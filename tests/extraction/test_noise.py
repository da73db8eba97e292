"""Noise where no particle is."""

import numpy as np
import pytest

from temporem.extraction.crops import Cutting, cut_out
from temporem.extraction.flat import FlatMovie
from temporem.extraction.noise import measure_noise
from temporem.extraction.tracks import track_of_places
from temporem.io.microscope.movie import FieldMovie

EDGE, DIAMETER = 32, 20.0
LINE = np.arange(160)


def movie_of(pixels):
    """A movie in memory."""
    flat = np.asarray(pixels, dtype=np.float32)
    movie = FieldMovie("a", "test", flat.shape, lambda start, stop: flat[start:stop])
    return FlatMovie(movie, lambda frame: 0.0, None)


def coloured(random, n):
    """Frames of noise with the power 1 + (0.12/k)², and a slope in each."""
    k = np.hypot(np.fft.fftfreq(160)[:, None], np.fft.rfftfreq(160)[None])
    k[0, 0] = 1
    white = np.fft.rfft2(random.normal(size=(n, 160, 160)))
    frames = np.fft.irfft2(white * np.sqrt(1 + (0.12 / k) ** 2), (160, 160))
    return frames + 0.02 * LINE


def test_the_spectrum_is_that_of_the_noise_and_not_of_the_particles():
    random = np.random.default_rng(0)
    frames = coloured(random, 12)
    places = np.array([[40.0, 40.0], [110.0, 60.0], [60.0, 120.0]])
    tracks = [
        track_of_places(str(i), np.arange(12), np.repeat(place[None], 12, axis=0))
        for i, place in enumerate(places)
    ]
    for x, y in places:
        square = (LINE - x) ** 2 + (LINE[:, None] - y) ** 2
        frames = frames + 30 * np.exp(-square / 50)
    noise = measure_noise(movie_of(frames), tracks, EDGE, EDGE, DIAMETER)
    true = 1 + (0.12 / noise.frequency) ** 2
    level = noise.deviation**2
    # The plane takes away what is as long as the box, as it does in the images.
    assert noise.power[2:] * level == pytest.approx(true[2:], rel=0.12)


def test_images_of_nothing_have_the_measured_spectrum():
    """Boxes are treated as images are: a track through pure noise has the same power and level."""
    random = np.random.default_rng(1)
    flat = movie_of(coloured(random, 60))
    noise = measure_noise(flat, [], EDGE, EDGE, DIAMETER)
    places = random.uniform(40, 120, (60, 2))
    tracks = [track_of_places("0", np.arange(60), places)]
    images = np.array(list(cut_out(flat, tracks, Cutting(EDGE, 1, DIAMETER), noise)))
    power = (np.abs(np.fft.fft2(images, norm="ortho")) ** 2).mean(axis=0)
    frequency = np.fft.fftfreq(EDGE) * EDGE
    shell = np.rint(np.hypot(frequency[:, None], frequency)).astype(int).ravel()
    radial = np.bincount(shell, power.ravel()) / np.bincount(shell)
    assert radial[1:15] == pytest.approx(noise.power[:14], rel=0.25)
    assert radial[4:15] == pytest.approx(noise.power[3:14], rel=0.1)
