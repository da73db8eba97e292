"""Cutting out: centres, edges, neighbours and Fourier cropping."""

import numpy as np
import pytest

from temporem.extraction.crops import Cutting, fourier_crop, in_order, usable
from temporem.extraction.tracks import track_of_places


def test_fourier_cropping_keeps_values_and_centre():
    line = np.arange(48) - 24
    blob = np.exp(-(line[:, None] ** 2 + line[None] ** 2) / (2 * 6.0**2))
    small = fourier_crop(blob, 24)
    expected = blob[::2, ::2]  # pixel 12 of 24 shows pixel 24 of 48
    assert small == pytest.approx(expected, abs=1e-3)


def test_places_are_the_centre_and_the_rest():
    cutting = Cutting(box=16, bin=1, diameter_pixels=8)
    track = track_of_places("a", np.arange(2), np.array([[20.3, 30.6], [21.0, 29.5]]))
    assert cutting.centres(track) + cutting.offsets(track) == pytest.approx(track.places)
    assert np.abs(cutting.offsets(track)).max() <= 0.5


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
