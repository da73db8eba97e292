"""Drift of the stage, from correlations of sums of frames.

Single frames of single molecules correlate with nothing: at a signal-to-noise ratio of 1/16, the
highest peak is noise. So frames are summed first, all pairs of sums are correlated, and one path
that explains all their displacements is fitted, as in Zheng et al. (2017). Sums that are too short
leave displacements that no path explains; then neighbours are added up and it is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from temporem.extraction.sums import GroupMeans

_EDGE = 512  # pixels to which frames are binned
_FINEST_PIXELS = 2.0  # binned: finer details are damped
_COARSEST = 1 / 8  # of the edge: what is coarser, such as illumination, does not drift
_LEAST_GROUPS = 3
_TOLERANCE = 0.75  # binned pixels: residuals of displacements that one path explains
_ROUNDS = 20


@dataclass(frozen=True)
class Drift:
    """Displacement of a movie's contents.

    Attributes:
        shifts: x and y since the first frame, pixels, ``(T, 2)``; 0 where none was measured.
        residual_pixels: median difference between a pair's displacement and that of the path.
        groups: sums that were correlated.
        measured: one path explains the displacements of the pairs.
    """

    shifts: np.ndarray
    residual_pixels: float
    groups: int
    measured: bool

    @classmethod
    def none(cls, n_frames: int) -> Drift:
        """No drift."""
        return cls(np.zeros((n_frames, 2)), 0.0, 0, False)


def measure_drift(sums: GroupMeans) -> Drift:
    """Measure the drift of a movie from means of its frames."""
    means, times = sums.means, sums.times
    factor = max(1, max(means.shape[1:]) // _EDGE)
    while len(means) >= _LEAST_GROUPS:
        path, residual = _fit(*_pair_shifts(means, factor), len(means))
        if residual <= _TOLERANCE:
            smooth = PchipInterpolator(times, factor * path, axis=0, extrapolate=True)
            # Beyond the middle of the first and the last group, a straight line goes on.
            shifts = _straight_ends(smooth, times, np.arange(sums.n_frames))
            return Drift(shifts - shifts[0], factor * residual, len(means), True)
        even = len(means) // 2 * 2
        rest = means[even:]
        pairs = means[:even].reshape(-1, 2, *means.shape[1:]).mean(axis=1)
        middle = times[:even].reshape(-1, 2).mean(axis=1)
        if len(rest):  # an odd one joins the last pair
            pairs[-1] = pairs[-1] * (2 / 3) + rest[0] / 3
            middle[-1] = middle[-1] * (2 / 3) + times[-1] / 3
        means, times = pairs, middle
    return Drift(np.zeros((sums.n_frames, 2)), float("nan"), 0, False)


def _straight_ends(path: PchipInterpolator, times: np.ndarray, frames: np.ndarray) -> np.ndarray:
    inside = frames.clip(times[0], times[-1])
    slope = path.derivative()(inside)
    return np.asarray(path(inside) + slope * (frames - inside)[:, None])


def _pair_shifts(means: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of all pairs of sums, and the displacement ``(pairs, 2)`` of the second of each."""
    height, width = (n // factor * factor for n in means.shape[1:])
    transformed = []
    for mean in means:
        cut = mean[:height, :width]
        small = cut.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
        small = (small - small.mean()) * _window(small.shape)
        transformed.append(np.fft.rfft2(small))
    band = _band(small.shape)
    weighted = [image * band for image in transformed]
    first, second = np.triu_indices(len(means), 1)
    shifts = [
        _peak(np.fft.irfft2(np.conj(weighted[i]) * transformed[j], s=small.shape))
        for i, j in zip(first, second, strict=True)
    ]
    return first, second, np.array(shifts)


def _window(shape: tuple[int, ...]) -> np.ndarray:
    """Taper that hides the edges, ``(y, x)``."""
    sides = [np.minimum(1, np.sin(np.pi * (np.arange(n) + 0.5) / n) * 4) for n in shape]
    return np.asarray(np.sin(np.pi / 2 * sides[0])[:, None] * np.sin(np.pi / 2 * sides[1]))


def _band(shape: tuple[int, ...]) -> np.ndarray:
    """Weights of frequencies: coarse and fine ones damped, ``(y, x // 2 + 1)``."""
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    k2 = kx**2 + ky**2
    coarse = _COARSEST * min(shape)
    return np.asarray(
        np.exp(-2 * (np.pi * _FINEST_PIXELS) ** 2 * k2 / 2) * (1 - np.exp(-k2 * coarse**2 / 2))
    )


def _peak(correlation: np.ndarray) -> np.ndarray:
    """Displacement x, y at the highest peak, to a fraction of a pixel by parabolas."""
    y, x = np.unravel_index(correlation.argmax(), correlation.shape)
    height, width = correlation.shape
    fine = []
    for position, n, line in ((x, width, correlation[y]), (y, height, correlation[:, x])):
        before, here, after = line[(position - 1) % n], line[position], line[(position + 1) % n]
        bend = before - 2 * here + after
        offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
        fine.append((position + n // 2) % n - n // 2 + offset)
    return np.array(fine)


def _fit(
    first: np.ndarray, second: np.ndarray, shifts: np.ndarray, n: int
) -> tuple[np.ndarray, float]:
    """Fit the path ``(n, 2)`` whose differences are the displacements, by least absolute residuals.

    Returns:
        The path, and the median length of the residuals.
    """
    matrix = np.zeros((len(first), n))
    matrix[np.arange(len(first)), second] = 1
    matrix[np.arange(len(first)), first] -= 1
    matrix = matrix[:, 1:]  # the first one stays
    weights = np.ones(len(first))
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)[:, None]
        solution = np.linalg.lstsq(root * matrix, root * shifts, rcond=None)[0]
        residual = np.hypot(*(shifts - matrix @ solution).T)
        weights = 1 / np.maximum(residual, 0.1)
    path = np.concatenate([np.zeros((1, 2)), solution])
    return path, float(np.median(residual))
