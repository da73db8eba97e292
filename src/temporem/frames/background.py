"""Background of frames: a plane in each, and the level of the noise in each movie.

The corners of an image hold no molecule, so a plane is fitted there. Noise gives a plane as well.
How much of it goes on inside the window is measured: over all frames, planes fitted inside are
regressed on planes fitted in the corners. The slope is 1 for a background, 0 for white noise, and
between for noise with long waves. That share of every corner plane is subtracted, which is the best
linear prediction of the background inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.physics.masks import soft_ball

_SURE = 5.0  # standard errors


def plane_basis(box: int) -> Tensor:
    """Level and rises along x and y, from edge to edge: float64 ``(D², 3)``."""
    axis = (torch.arange(box, dtype=torch.float64) - (box - 1) / 2) / box
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([torch.ones_like(x), x, y], dim=-1).flatten(0, 1)


def corner_pixels(box: int) -> Tensor:
    """Pixels outside the circle that touches the edges of an image, bool ``(D, D)``."""
    return soft_ball(box, 2, box / 2, 0.0) == 0


class PlaneMeter:
    """Fits planes to images, outside and inside the circle that holds the molecule.

    Args:
        window: soft disc that images are multiplied by, ``(D, D)``.
    """

    def __init__(self, window: Tensor) -> None:
        box = len(window)
        basis = plane_basis(box)
        self._regions = [corner_pixels(box).flatten(), window.flatten() > 0.5]
        self._corner_basis = basis[self._regions[0]].T
        self._fits = [torch.linalg.pinv(basis[region]).T for region in self._regions]

    def measure(self, images: Tensor) -> Tensor:
        """Planes in the corners and inside, of images ``(F, D, D)``: float64 ``(F, 2, 3)``."""
        flat = images.flatten(1).double()
        parts = zip(self._regions, self._fits, strict=True)
        return torch.stack([flat[:, region] @ fit for region, fit in parts], dim=1)

    def residuals(self, outside: Tensor, planes: Tensor) -> Tensor:
        """What is left of corner pixels ``(F, B)`` without their planes ``(F, 3)``."""
        return outside - planes @ self._corner_basis


class NeighbourCorrelation:
    """Correlation of neighbouring pixels in what planes leave of the corners.

    Planes take some of white noise too, which makes neighbours differ; that is corrected for.

    Args:
        box: edge of the images, pixels.
    """

    def __init__(self, box: int) -> None:
        self._pairs = corner_neighbours(box)
        basis = plane_basis(box)[corner_pixels(box).flatten()]
        hat = basis @ torch.linalg.pinv(basis)
        self._expected = torch.stack([-hat[one, other].mean() for one, other in self._pairs])
        self._sums, self._count = torch.zeros(2, dtype=torch.float64), 0

    def add(self, left: Tensor, variance: Tensor) -> None:
        """Add residuals ``(F, B)`` of images whose noise has a variance ``(F,)``."""
        seen = variance > 0
        unit = left[seen] / variance[seen, None].sqrt()
        products = [(unit[:, one] * unit[:, other]).mean(1).sum() for one, other in self._pairs]
        self._sums += torch.stack(products)
        self._count += int(seen.sum())

    def result(self) -> float:
        """Mean of the correlations along x and along y."""
        return float((self._sums / max(self._count, 1) - self._expected).mean())


def corner_neighbours(box: int) -> list[tuple[Tensor, Tensor]]:
    """Pairs of corner pixels that are neighbours along x and along y, as places among them."""
    corners = corner_pixels(box)
    place = torch.full((box, box), -1)
    place[corners] = torch.arange(int(corners.sum()))
    return [
        (one[keep], other[keep])
        for one, other in ((place[:, :-1], place[:, 1:]), (place[:-1], place[1:]))
        for keep in ((one >= 0) & (other >= 0),)
    ]


@dataclass(frozen=True, eq=False)
class Background:
    """Planes that are subtracted from N frames, and factors that follow.

    Attributes:
        planes: level, and rise along x and y from edge to edge, in the units of the file, float64
            ``(N, 3)``.
        shares: share of the corners' planes that is subtracted, by level and slope, ``(2,)``.
        factor: brings the noise of every movie to the median, float64 ``(N,)``.
    """

    planes: Tensor
    shares: Tensor
    factor: Tensor

    @classmethod
    def none(cls, n_frames: int) -> Background:
        """Leave all frames as they are."""
        zero = torch.zeros(n_frames, 3, dtype=torch.float64)
        return cls(zero, zero[0, :2], torch.ones(n_frames, dtype=torch.float64))

    @property
    def is_none(self) -> bool:
        """True if images stay as they are."""
        return not self.planes.any() and bool((self.factor == 1).all())

    def apply(self, pixels: Tensor, rows: Tensor) -> Tensor:
        """Subtract planes from images ``(F, D, D)`` of some rows ``(F,)``, and scale them."""
        own = self.planes[rows].to(pixels)[:, :, None]
        parts = own * plane_basis(pixels.shape[-1]).T.to(pixels)
        # Added one by one, so that rounding does not depend on the other frames.
        planes = (parts[:, 0] + parts[:, 1] + parts[:, 2]).view_as(pixels)
        return (pixels - planes) * self.factor[rows].to(pixels)[:, None, None]


def find_background(
    planes: Tensor,
    corner_variance: Tensor,
    n_corner: int,
    gain: float,
    movies: Sequence[np.ndarray],
) -> Background:
    """Find what to subtract from frames, and by what to multiply them.

    A plane that all frames share is subtracted if it has more power than noise at zero frequency,
    and is greater than the differences between frames.

    Args:
        planes: found by :class:`PlaneMeter`, ``(N, 2, 3)``.
        corner_variance: variance of the corners' pixels about their plane, ``(N,)``.
        n_corner: number of those pixels.
        gain: amplitude of a level of one standard deviation of the noise at zero frequency, where
            the noise has 1.
        movies: rows of every movie.
    """
    factor = _noise_factor(corner_variance, n_corner, movies)
    corner, inside = (planes * factor[:, None, None]).unbind(1)
    sd = (corner_variance.sqrt() * factor).median()
    common = corner.mean(0)
    chance = (corner.std(0) if len(corner) > 1 else corner.new_zeros(3)).clamp(min=float(sd) / gain)
    common = common.where(common.abs() > chance, 0.0)
    corner, inside = corner - corner.mean(0), inside - inside.mean(0)
    level, slope = _share(corner[:, :1], inside[:, :1]), _share(corner[:, 1:], inside[:, 1:])
    shares = torch.tensor([level, slope, slope], dtype=torch.float64)
    own = (common + shares * corner) / factor[:, None]
    return Background(own, shares[:2], factor)


def _share(corner: Tensor, inside: Tensor) -> float:
    """Slope of the regression of planes inside on those in corners; 0 if chance gives as much."""
    power = corner.square().sum()
    if power == 0:
        return 0.0
    slope = (corner * inside).sum() / power
    error = ((inside - slope * corner).square().mean() / power).sqrt()
    return float(slope.clamp(0, 1)) if slope > _SURE * error else 0.0


def _noise_factor(variance: Tensor, n_corner: int, movies: Sequence[np.ndarray]) -> Tensor:
    """Factor of every frame, the same in a movie; differences that chance gives are left out."""
    own = torch.stack([variance[torch.from_numpy(movie)].mean() for movie in movies])
    logarithm = own.clamp(min=1e-30 * float(own.max())).log()
    logarithm = logarithm - logarithm.median()
    counts = torch.tensor([len(movie) for movie in movies], dtype=torch.float64)
    chance = 2 / (n_corner * counts)  # variance of the logarithm of a variance
    spread = ((logarithm - logarithm.mean()).square() - chance).mean().clamp(min=0)
    # Neighbouring pixels of noise that is not white count less, so ten times chance is no evidence.
    spread = spread if spread > 10 * chance.mean() else torch.zeros_like(spread)
    shrunk = logarithm * spread / (spread + chance)
    factor = torch.ones(len(variance), dtype=torch.float64)
    for movie, value in zip(movies, (-shrunk / 2).exp(), strict=True):
        factor[torch.from_numpy(movie)] = value
    return factor
