"""Blobs are found where they are, bright or dark, and followed through noise and gaps."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from temporem.errors import TemporemError
from temporem.extraction.extract import extract_particles
from temporem.extraction.settings import ExtractionSettings
from temporem.io.microscope.movie import FieldMovie

EDGE, FRAMES, SIGMA = 128, 20, 3.0
DIAMETER = 16.0


def blobs(places: np.ndarray, strength: float, noise: float = 1.0, seed: int = 0) -> FieldMovie:
    """Frames with round blobs at ``(particles, T, 2)``, NaN for none, in white noise."""
    line = np.arange(EDGE)
    random = np.random.default_rng(seed)
    pixels = noise * random.standard_normal((places.shape[1], EDGE, EDGE)) + 100
    for track in places:
        for frame, (x, y) in enumerate(track):
            if np.isfinite(x):
                square = (line[None] - x) ** 2 + (line[:, None] - y) ** 2
                pixels[frame] += strength * np.exp(-square / (2 * SIGMA**2))
    return FieldMovie(None, "test", pixels.shape, lambda start, stop: pixels[start:stop])


def walks(seed: int = 1) -> np.ndarray:
    """Three particles that walk, far from each other, ``(3, T, 2)``."""
    random = np.random.default_rng(seed)
    starts = np.array([[30.2, 30.7], [90.5, 40.1], [60.0, 95.4]])
    return starts[:, None] + 0.7 * random.standard_normal((3, FRAMES, 2)).cumsum(axis=1)


def settings(**changes) -> ExtractionSettings:
    return ExtractionSettings(
        **{"diameter_angstrom": DIAMETER, "box": 24, "drift": False, "average": 5} | changes
    )


def errors(extraction, places: np.ndarray) -> np.ndarray:
    """Distance of every place to the nearest particle."""
    return np.concatenate(
        [
            np.hypot(*(places[:, track.frames] - track.places).transpose(2, 0, 1)).min(axis=0)
            for track in extraction.tracks
        ]
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_particles_of_either_sign(sign):
    places = walks()
    found = extract_particles(blobs(places, sign * 1.5), 1.0, settings())
    assert len(found.tracks) == 3
    assert all(len(track) == FRAMES for track in found.tracks)
    assert found.inverted == (sign < 0)
    # A single frame allows 0.45 pixels (Cramér and Rao).
    assert np.median(errors(found, places)) < 0.6


def test_images_are_normalised_and_bright_at_the_centre():
    places = walks()
    found = extract_particles(blobs(places, -1.5, noise=3.0), 1.0, settings(average=9))
    images = np.array(list(found.images()))
    assert images.shape[1:] == (24, 24)
    corners = images[:, :4, :4]
    assert corners.std() == pytest.approx(1, abs=0.1)
    assert corners.mean() == pytest.approx(0, abs=0.1)
    mean = uniform_filter(images.mean(axis=0), 5)
    assert np.unravel_index(mean.argmax(), (24, 24)) == pytest.approx((12, 12), abs=1)


def test_noise_alone_has_no_tracks():
    found = extract_particles(blobs(np.empty((0, FRAMES, 2)), 0.0), 1.0, settings())
    assert found.tracks == []


def test_a_gap_is_bridged():
    places = walks()
    shown = places.copy()
    shown[:, 8:10] = np.nan
    found = extract_particles(blobs(shown, 4.0), 1.0, settings(average=1))
    assert len(found.tracks) == 3
    assert np.median(errors(found, places)) < 0.5


def test_a_camera_pattern_is_removed_by_the_median():
    places = np.concatenate([walks()] * 3, axis=1)
    places += np.linspace(0, 25, places.shape[1])[:, None]
    pattern = np.zeros((EDGE, EDGE))
    pattern[20:26, 100:106] = 8.0  # a spot that stands still
    plain = blobs(places, 1.5)
    movie = FieldMovie(None, "test", plain.shape, lambda a, b: plain.read(a, b) + pattern)
    found = extract_particles(movie, 1.0, settings())
    assert found.background == "median"
    assert len(found.tracks) == 3
    found = extract_particles(movie, 1.0, settings(background="none"))
    assert len(found.tracks) == 4


def test_a_box_larger_than_the_frame_is_refused():
    with pytest.raises(TemporemError, match="smaller than the box"):
        extract_particles(blobs(walks(), 1.0), 1.0, settings(box=200))


def test_noise_spectrum_of_white_noise_is_flat():
    found = extract_particles(blobs(walks(), 1.5, noise=2.0), 1.0, settings())
    assert found.noise.deviation == pytest.approx(2, rel=0.03)
    assert found.noise.power == pytest.approx(1, abs=0.15)
