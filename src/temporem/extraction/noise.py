"""Noise of a movie, measured in boxes where no particle is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from temporem.errors import TemporemError
from temporem.extraction.boxes import background_disc, fourier_crop, plane
from temporem.extraction.flat import FlatMovie
from temporem.extraction.tracks import Track

_MOST_BOXES, _FRAMES, _TRIES = 400, 20, 200


@dataclass(frozen=True)
class NoiseSpectrum:
    """Noise of one movie, in boxes of the size of its images.

    Attributes:
        frequency: cycles per pixel of the images, ``(shells,)``.
        power: variance of a Fourier coefficient (orthonormal transform), relative to that of a
            pixel outside the particle, ``(shells,)``; 1 everywhere for white noise.
        deviation: standard deviation of a pixel of the images outside the particle, in units of the
            movie.
        boxes: number of boxes that were measured.
    """

    frequency: np.ndarray
    power: np.ndarray
    deviation: float
    boxes: int


def measure_noise(
    movie: FlatMovie,
    tracks: Sequence[Track],
    edge: int,
    box: int,
    diameter: float,
    seed: int = 0,
) -> NoiseSpectrum:
    """Measure the noise where no particle is, in boxes that are treated as images of particles are.

    Boxes are drawn at random in some frames. Only those are taken that are free of tracks.

    Args:
        movie: corrected frames.
        tracks: all tracks of the movie, also those that are not cut out.
        edge: edge of a box, pixels of the movie.
        box: edge after binning.
        diameter: of a particle, pixels of the movie.
        seed: of the places.

    Raises:
        TemporemError: particles are everywhere.
    """
    outside, corners = background_disc(edge, diameter), background_disc(box, diameter * box / edge)
    random = np.random.default_rng(seed)
    height, width = movie.movie.shape[1:]
    chosen = np.unique(np.linspace(0, movie.n_frames - 1, _FRAMES).astype(int))
    spectra: list[np.ndarray] = []
    variances: list[float] = []
    for frame in chosen.tolist():
        taken = [track.places[track.frames == frame] for track in tracks]
        places = np.concatenate([np.empty((0, 2)), *taken])
        image = None
        for _ in range(_TRIES):
            if len(spectra) >= _MOST_BOXES * (frame + 1) / movie.n_frames:
                break
            corner = random.integers(0, (width - edge + 1, height - edge + 1))
            centre = corner + edge // 2
            if len(places) and (np.abs(places - centre).max(axis=1) < 0.9 * edge).any():
                continue
            image = movie.frame(frame) if image is None else image
            x, y = corner
            part = image[y : y + edge, x : x + edge]
            part = fourier_crop(part - plane(part, outside), box).astype(float)
            variances.append(float(part[corners].var()))
            spectra.append(np.abs(np.fft.rfft2(part, norm="ortho")) ** 2)
    if not spectra:
        raise TemporemError(
            f"{movie.movie.path} has no place of {edge} pixels without particles",
            expected="some background, to measure the noise",
            hint="choose a smaller --box or a higher --threshold",
        )
    power = np.mean(spectra, axis=0)
    ky, kx = np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)[None]
    shell = np.rint(np.hypot(kx, ky) * box).astype(int)
    inside = (shell >= 1) & (shell <= box // 2)
    counts = np.bincount(shell[inside])[1:]
    radial = np.bincount(shell[inside], power[inside])[1:] / counts
    variance = float(np.median(variances))
    if variance <= 0:
        raise TemporemError(
            f"{movie.movie.path} has a constant background", expected="a movie with noise"
        )
    return NoiseSpectrum(
        frequency=np.arange(1, box // 2 + 1) / box,
        power=radial / variance,
        deviation=variance**0.5,
        boxes=len(spectra),
    )
