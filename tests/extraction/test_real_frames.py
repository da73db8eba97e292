"""Detections in real frames, against places that others found in them."""

import csv

import numpy as np
import pytest

from helpers.shared import SHARED
from temporem.extraction.detection import Detector
from temporem.extraction.extract import extract_particles
from temporem.extraction.flat import FlatMovie
from temporem.extraction.scores import score
from temporem.extraction.settings import ExtractionSettings
from temporem.io.microscope.readers import open_movie
from temporem.io.positions import Positions

LIQUID = SHARED / "specimens/liquid"


@pytest.mark.integration
def test_a_nanorod_is_followed():
    movie = open_movie(LIQUID / "nanorods_movie_jpeg")
    found = extract_particles(movie, 1.0, ExtractionSettings(diameter_angstrom=50, box=76))
    with (LIQUID / "nanorods_trajectories.csv").open() as file:
        rows = list(csv.DictReader(file))[: movie.n_frames]
    places = np.array([(float(row["x"]), float(row["y"])) for row in rows])
    (track,) = found.tracks
    assert found.inverted
    distance = np.hypot(*(track.places - places[track.frames]).T)
    assert (distance < 25).sum() >= 18  # of 20 frames
    assert len(track) >= 18


def test_most_particles_of_a_lattice_are_found():
    places = np.loadtxt(LIQUID / "SAMPLE_0001.txt")[:, 1:]
    flat = FlatMovie(open_movie(LIQUID / "SAMPLE_0001.tif"), lambda frame: 0.0, sign=-1)
    found = Detector(flat, np.zeros((1, 2)), 36, average=1, threshold=3).find(0).places

    def positions(at):
        ones = np.ones(len(at), dtype=int)
        return Positions(np.repeat("a", len(at)), np.arange(len(at)).astype(str), ones, at)

    scores = score(positions(found), positions(places), 18)
    assert scores.recall > 0.7
    assert scores.precision > 0.7
