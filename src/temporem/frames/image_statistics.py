"""Statistics of single images, measured in the pass that measures the noise level."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from temporem.frames.background import corner_neighbours, corner_pixels, plane_basis
from temporem.physics.fourier import FourierSupport

LOW_RADIUS = 8.0
"""Highest frequency that is kept of images, cycles per box."""

_BLANK = 1e-3  # of the typical deviation: no noise is so much weaker
_MOST_LOW = 10_000  # frames whose lowest frequencies are kept; more tell nothing new


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Statistics of N images of D × D pixels, in the units of the file.

    The background of an image is its corners: the pixels outside the circle that touches the edges.

    Attributes:
        box: D.
        n_corner: number of background pixels of an image.
        background_mean: mean of the background, float64 ``(N,)``.
        background_sd: standard deviation of the background, float64 ``(N,)``.
        gradient: rise of the background from edge to edge along x and y, float64 ``(N, 2)``.
        gradient_sd: standard deviation of that rise in white noise of unit variance, ``(2,)``.
        neighbour_correlation: correlation of neighbours along x and y in the background, ``(2,)``.
        neighbour_pairs: number of pairs of neighbours in an image, ``(2,)``.
        extreme: deviation from the background mean of the pixel farthest from it, ``(N,)``.
        extreme_at: flat index of that pixel, ``(N,)``.
        pixel_mean: mean over images of every pixel, in units of the background's standard
            deviation, background subtracted, ``(D, D)``.
        pixel_square: mean over images of its square, ``(D, D)``.
        low_rows: rows of the frames whose low frequencies are kept, ``(M,)``.
        low: their lowest Fourier coefficients, windowed, in the same units, complex64 ``(M, K)``.
            White noise has unit variance in them.
    """

    box: int
    n_corner: int
    background_mean: np.ndarray
    background_sd: np.ndarray
    gradient: np.ndarray
    gradient_sd: np.ndarray
    neighbour_correlation: np.ndarray
    neighbour_pairs: np.ndarray
    extreme: np.ndarray
    extreme_at: np.ndarray
    pixel_mean: np.ndarray
    pixel_square: np.ndarray
    low_rows: np.ndarray
    low: Tensor

    def __len__(self) -> int:
        return len(self.background_mean)

    @cached_property
    def typical_sd(self) -> float:
        """Median of the images' background standard deviations."""
        return float(np.median(self.background_sd))

    @cached_property
    def blank(self) -> np.ndarray:
        """True at images whose background is constant, bool ``(N,)``."""
        return self.background_sd <= _BLANK * max(
            self.typical_sd, self.background_sd.max() * _BLANK
        )

    @cached_property
    def deviations(self) -> np.ndarray:
        """Standard deviation of the noise of every image; the median at blank ones, ``(N,)``."""
        return np.where(self.blank, self.typical_sd, self.background_sd)


class ImageMeter:
    """Measures N images, some at a time.

    Args:
        n_images: N.
        window: soft disc that images are multiplied by, ``(D, D)``.
        support: frequencies of images.
    """

    def __init__(self, n_images: int, window: Tensor, support: FourierSupport) -> None:
        self._box = box = len(window)
        self._support, self._window = support, window / window.square().mean().sqrt()
        self._n_low = int((support.radii <= min(LOW_RADIUS, box / 2 - 1)).sum())
        self.corners = corner_pixels(box).flatten().nonzero().squeeze(1)
        self._pairs = corner_neighbours(box)
        self._slopes = torch.linalg.pinv(plane_basis(box)[self.corners])[1:].T
        self._single: list[np.ndarray] = []
        self._extremes: list[tuple[np.ndarray, np.ndarray]] = []
        self._low: list[Tensor] = []
        self._kept = np.zeros(n_images, dtype=bool)
        self._kept[np.linspace(0, n_images - 1, min(n_images, _MOST_LOW)).round().astype(int)] = 1
        self._covariance = torch.zeros(2, dtype=torch.float64)
        self._pixels = torch.zeros(2, box * box)
        self._done = self._scaled = 0

    def add(self, images: Tensor, outside: Tensor) -> None:
        """Add the next images ``(n, D, D)`` and their background pixels, float64 ``(n, B)``."""
        mean = outside.mean(1, keepdim=True)
        deviation = outside - mean
        sd = deviation.square().mean(1, keepdim=True).sqrt()
        gradient = deviation @ self._slopes
        self._single.append(torch.cat([mean, sd, gradient], dim=1).numpy())

        pixels = images.flatten(1) - mean.float()
        at = pixels.abs().argmax(1)
        extreme = pixels.gather(1, at[:, None]).squeeze(1)
        self._extremes.append((extreme.double().numpy(), at.numpy()))

        varies = (sd > 1e-6 * mean.abs().clamp(min=1e-30)).squeeze(1)
        unit = deviation[varies] / sd[varies]
        self._covariance += torch.stack(
            [(unit[:, one] * unit[:, other]).sum() for one, other in self._pairs]
        )
        pixels[varies] /= sd[varies].float()
        pixels[~varies] = 0
        self._pixels += torch.stack([pixels.sum(0), pixels.square().sum(0)])
        self._scaled += int(varies.sum())

        kept = self._kept[self._done : self._done + len(images)]
        windowed = pixels[torch.from_numpy(kept)].unflatten(1, images.shape[1:]) * self._window
        self._low.append(self._support.fft(windowed)[:, : self._n_low].clone())
        self._done += len(images)

    def result(self) -> ImageStatistics:
        """Statistics of all images that were added."""
        single = np.concatenate(self._single)
        extreme, at = map(np.concatenate, zip(*self._extremes, strict=True))
        pairs = np.array([len(one) for one, _ in self._pairs])
        scaled = max(self._scaled, 1)
        pixel_mean, pixel_square = (self._pixels / scaled).unflatten(1, (self._box,) * 2).numpy()
        return ImageStatistics(
            box=self._box,
            n_corner=len(self.corners),
            background_mean=single[:, 0],
            background_sd=single[:, 1],
            gradient=single[:, 2:],
            gradient_sd=self._slopes.norm(dim=0).numpy(),
            neighbour_correlation=self._covariance.numpy() / (pairs * scaled),
            neighbour_pairs=pairs,
            extreme=extreme,
            extreme_at=at,
            pixel_mean=pixel_mean,
            pixel_square=pixel_square,
            low_rows=np.flatnonzero(self._kept),
            low=torch.cat(self._low),
        )
