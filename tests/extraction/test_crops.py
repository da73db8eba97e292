"""Cutting out: centres, edges, neighbours and Fourier cropping."""

import numpy as np
import pytest

from temporem.extraction.boxes import fourier_crop
from temporem.extraction.crops import Cutting, cut_out, in_order, usable
from temporem.extraction.flat import FlatMovie
from temporem.extraction.noise import NoiseSpectrum
from temporem.extraction.tracks import track_of_places
from temporem.io.microscope.movie import FieldMovie


def test_fourier_cropping_keeps_values_and_centre():
    line = np.arange(48) - 24
    blob = np.exp(-(line[:, None] ** 2 + line[None] ** 2) / (2 * 6.0**2))
    small = fourier_crop(blob, 24)
    expected = blob[::2, ::2]  # pixel 12 of 24 shows pixel 24 of 48
    assert small == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("binning", [1, 2])
def test_particles_between_pixels_come_to_the_central_pixel(binning):
    places, sigma = np.array([[20.3, 30.6], [24.5, 29.5], [21.0, 33.8]]), 3.0 * binning
    line = np.arange(64)
    pixels = np.array(
        [
            np.exp(-((line[None] - x) ** 2 + (line[:, None] - y) ** 2) / (2 * sigma**2))
            for x, y in places
        ]
    )
    movie = FieldMovie(None, "test", pixels.shape, lambda start, stop: pixels[start:stop])
    flat = FlatMovie(movie, lambda frame: 0.0)
    noise = NoiseSpectrum(np.zeros(0), np.zeros(0), deviation=1.0, boxes=1)
    cutting = Cutting(box=36 // binning, bin=binning, diameter_pixels=30)
    track = track_of_places("a", np.arange(3), places)
    axis = np.arange(cutting.box) - cutting.box // 2
    for image in cut_out(flat, [track], cutting, noise):
        bright = np.where(image > 0.3 * image.max(), image, 0)
        centre = [(bright.sum(axis=a) * axis).sum() / bright.sum() for a in (0, 1)]
        assert centre == pytest.approx([0, 0], abs=0.03)


def test_edges_and_neighbours_are_left_out():
    cutting = Cutting(box=16, bin=1, diameter_pixels=8)
    at_edge = track_of_places("a", np.arange(3), np.array([[5.0, 30], [20, 30], [20, 30]]))
    meeting = track_of_places("b", np.arange(3), np.array([[40.0, 40], [40, 40], [22, 31]]))
    kept = usable([at_edge, meeting], cutting, (64, 64), 1)
    assert [track.frames.tolist() for track in kept] == [[1], [0, 1]]
    assert usable([at_edge, meeting], cutting, (64, 64), 2)[0].name == "b"


def test_images_come_in_the_order_of_frames():
    places = np.full((2, 2), 30.0)
    tracks = [track_of_places(n, np.array(f), places) for n, f in (("a", [0, 2]), ("b", [1, 2]))]
    assert in_order(tracks) == [(0, 0), (1, 0), (0, 1), (1, 1)]
