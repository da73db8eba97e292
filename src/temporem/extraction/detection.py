"""Particles in averages of a few frames, by a filter that matches their size.

The filter is matched to a round particle in the noise of the movie itself: the transform of a ball
over the noise spectrum. It is applied at several diameters: the CTF takes the coarsest frequencies
away, so that smaller balls often match better. Values are in standard deviations of the filtered
background.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter
from skimage.feature import peak_local_max

from temporem.extraction.flat import FlatMovie

SCALES = (0.5, 0.7, 1.0, 1.3)
"""Diameters that are tried, as fractions of the given one."""

_PIXELS_PER_DIAMETER = 10  # to which frames are binned
_MOST_PER_FRAME = 20_000  # detections; more means that the threshold is in the noise
_NOISE_FRAMES = 16
_MEAN_SHELLS = 2  # lowest frequencies, which the mean and the window distort


@dataclass(frozen=True)
class Detections:
    """Particles in one frame.

    Attributes:
        places: x and y in the frame, pixels from 0, ``(n, 2)``.
        strength: height of the peak, standard deviations of the background, ``(n,)``.
        scale: diameter that fits best, a fraction of the given one, ``(n,)``.
    """

    places: np.ndarray
    strength: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class _Filter:
    """Filter of one scale, and the standard deviation of filtered noise."""

    transfer: np.ndarray
    deviation: float


class Detector:
    """Finds particles of one diameter in the frames of one movie.

    Args:
        movie: corrected frames.
        drift: displacement of each frame, ``(T, 2)`` pixels.
        diameter_pixels: of the particle.
        average: frames that are averaged for a detection, odd; about the frame itself.
        threshold: lowest peak, standard deviations.
    """

    def __init__(
        self,
        movie: FlatMovie,
        drift: np.ndarray,
        diameter_pixels: float,
        *,
        average: int,
        threshold: float,
    ) -> None:
        self.movie, self.drift = movie, drift
        self.diameter = diameter_pixels
        self.half = average // 2
        self.threshold = threshold
        self.binning = max(1, int(diameter_pixels / _PIXELS_PER_DIAMETER))
        height, width = (n // self.binning for n in movie.movie.shape[1:])
        self.shape = (height, width)
        spectrum = self._noise_spectrum()
        self._single = self._filters(spectrum)
        # What rises above the noise of counts, at the highest frequencies, does not average out.
        white = spectrum.min()
        self._averaged = self._filters(spectrum - white * (1 - 1 / (2 * self.half + 1)))

    def __iter__(self) -> Iterator[Detections]:
        """Find the particles of frame after frame."""
        for averaged in self._averages(range(self.movie.n_frames)):
            yield self._find(averaged)

    def find(self, frame: int) -> Detections:
        """Find the particles of one frame."""
        return self._find(next(self._averages(range(frame, frame + 1))))

    def of_frame(self, frame: int) -> np.ndarray:
        """Filter a single frame: ``(scales, y, x)`` in standard deviations of the background."""
        return self._responses(self._binned(frame), self._single)

    def _responses(self, image: np.ndarray, filters: Sequence[_Filter]) -> np.ndarray:
        """Filtered images ``(scales, y, x)`` in standard deviations of their background."""
        transformed = np.fft.rfft2(image - image.mean())
        found = np.empty((len(filters), *self.shape))
        for response, used in zip(found, filters, strict=True):
            response[:] = np.fft.irfft2(transformed * used.transfer, s=self.shape)
            middle = np.median(response)
            spread = 1.4826 * np.median(np.abs(response - middle))
            response -= middle
            # Particles everywhere make the median of deviations too large.
            response /= max(min(float(spread), used.deviation), np.finfo(float).tiny)
        return found

    def _find(self, image: np.ndarray) -> Detections:
        found = self._responses(image, self._averaged)
        best = found.max(axis=0)
        peaks = peak_local_max(
            best,
            min_distance=max(1, round(0.4 * self.diameter / self.binning)),
            threshold_abs=self.threshold,
            exclude_border=max(1, round(0.25 * self.diameter / self.binning)),
            num_peaks=_MOST_PER_FRAME,
        )
        scales = found[:, peaks[:, 0], peaks[:, 1]].argmax(axis=0)
        fine = [_refine(found[s], y, x) for s, (y, x) in zip(scales, peaks, strict=True)]
        places = np.array(fine, dtype=float).reshape(-1, 2)
        return Detections(
            places=(places + 0.5) * self.binning - 0.5,  # centres of binned pixels
            strength=best[peaks[:, 0], peaks[:, 1]],
            scale=np.array(SCALES)[scales],
        )

    def _averages(self, frames: range) -> Iterator[np.ndarray]:
        """Average the frames about each one, as it stands in that frame, binned."""
        n, kept = self.movie.n_frames, deque[tuple[int, np.ndarray]]()
        following = max(0, frames.start - self.half)
        for frame in frames:
            while following < min(n, frame + self.half + 1):
                kept.append((following, self._binned(following)))
                following += 1
            while kept[0][0] < frame - self.half:
                kept.popleft()
            total = np.zeros(self.shape)
            for index, image in kept:
                move = np.rint((self.drift[frame] - self.drift[index]) / self.binning).astype(int)
                total += np.roll(image, (move[1], move[0]), axis=(0, 1))
            yield total / len(kept)

    def _binned(self, index: int) -> np.ndarray:
        b, (height, width) = self.binning, self.shape
        frame = self.movie.frame(index)[: height * b, : width * b]
        return np.asarray(frame.reshape(height, b, width, b).mean(axis=(1, 3)))

    def _noise_spectrum(self) -> np.ndarray:
        """Radial power spectrum of single frames, at the frequencies of :meth:`_radius`.

        Many particles of one size, such as a lattice, raise it at some frequencies; the falling
        curve below it is taken.
        """
        n = self.movie.n_frames
        chosen = np.unique(np.linspace(0, n - 1, min(n, _NOISE_FRAMES)).astype(int))
        window = np.hanning(self.shape[0])[:, None] * np.hanning(self.shape[1])
        power = np.zeros((self.shape[0], self.shape[1] // 2 + 1))
        for index in chosen:
            image = self._binned(int(index))
            power += np.abs(np.fft.rfft2((image - image.mean()) * window)) ** 2
        shell = np.rint(self._radius() * max(self.shape)).astype(int)
        counts = np.bincount(shell.ravel())
        radial = np.bincount(shell.ravel(), power.ravel()) / np.maximum(counts, 1)
        radial = median_filter(radial, 5, mode="nearest")
        radial[:_MEAN_SHELLS] = radial[_MEAN_SHELLS]
        # Noise and blurred background fall with frequency. What rises above are particles.
        radial = np.minimum.accumulate(radial)
        radial /= len(chosen) * np.square(window).sum()  # that of white noise is its variance
        return np.asarray(np.maximum(radial, 1e-6 * radial.max() + np.finfo(float).tiny)[shell])

    def _radius(self) -> np.ndarray:
        """``|k|`` in cycles per binned pixel."""
        ky, kx = np.fft.fftfreq(self.shape[0])[:, None], np.fft.rfftfreq(self.shape[1])[None]
        return np.hypot(kx, ky)

    def _filters(self, spectrum: np.ndarray) -> list[_Filter]:
        """Make the filter of each scale for noise of a spectrum."""
        height, width = self.shape
        twice = np.full(spectrum.shape[1], 2.0)  # the half plane stands for the whole
        twice[0] = 1.0
        if width % 2 == 0:
            twice[-1] = 1.0
        filters = []
        for scale in SCALES:
            x = self._radius() / self.binning * scale * self.diameter
            transfer = _ball(x) * (1 - np.exp(-2 * (2 * x) ** 2)) / spectrum  # no gradients
            variance = (twice * transfer**2 * spectrum).sum() / (height * width)
            filters.append(_Filter(transfer, float(variance**0.5)))
        return filters


def _ball(x: np.ndarray) -> np.ndarray:
    """Transform of the projection of a ball, soft at its edge, at ``k · diameter``."""
    u = np.pi * np.maximum(x, 1e-3)
    return 3 * (np.sin(u) - u * np.cos(u)) / u**3 * np.exp(-((0.2 * u) ** 2) / 2)


def _refine(image: np.ndarray, y: int, x: int) -> tuple[float, float]:
    """Place x, y of a peak to a fraction of a pixel, by parabolas."""
    offsets = []
    for before, here, after in (
        (image[y, x - 1], image[y, x], image[y, (x + 1) % image.shape[1]]),
        (image[y - 1, x], image[y, x], image[(y + 1) % image.shape[0], x]),
    ):
        bend = before - 2 * here + after
        offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
        offsets.append(min(max(offset, -0.5), 0.5))
    return x + offsets[0], y + offsets[1]
