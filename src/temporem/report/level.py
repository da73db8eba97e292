"""The level of a surface, in units that compare between volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from skimage.filters import threshold_otsu

from temporem.errors import TemporemError

_LEAST_SIGMAS = 3.0
_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_MOST_ENCLOSED = 0.25  # of the sphere; a surface around more is a brick, and no molecule
_LEAST_ENCLOSED = 0.001  # so that a map without a background still has a surface
_TAILS = (0.0005, 0.9995)  # quantiles, between which only specks of noise are left out
_CLEARLY_DARKER = 1.5


@dataclass(frozen=True)
class Level:
    """Density at which a surface is drawn.

    Attributes:
        value: in the units of the volumes.
        sigmas: height above the mean of the volumes, in standard deviations of their voxels, as
            ChimeraX and Coot count.
        sign: −1 for a molecule that is darker than what surrounds it; the surface then encloses
            what is below the level.
    """

    value: float
    sigmas: float
    sign: int = 1

    def __str__(self) -> str:
        text = f"level {self.value:.3g} ({self.sigmas:.1f} σ)".replace("-", "\N{MINUS SIGN}")
        return text if self.sign > 0 else f"{text}, dark side"

    @property
    def height(self) -> float:
        """The level of volumes that were multiplied by :attr:`sign`."""
        return self.sign * self.value


def find_level(volumes: np.ndarray, value: float | None = None) -> Level:
    """Find one level for volumes ``(S, D, D, D)`` that separates molecule and background.

    Only the sphere that fits into the box counts. Otsu's threshold (1979) separates; it is at
    least three standard deviations above the background, and encloses at most a quarter of the
    sphere. The background is measured by the median and the median absolute deviation, which the
    few voxels of a molecule do not change. A molecule that is darker than its surroundings, as with
    inverted contrast, gets a level below them.

    Args:
        volumes: ``(S, D, D, D)``.
        value: take this level, and measure only how high it is.

    Raises:
        TemporemError: no voxel exceeds the level, so that there is no surface.
    """
    inside = volumes[:, in_sphere(volumes.shape[-1])]
    sign = brighter_side(inside)
    if value is None:
        value = sign * _level_of_bright(sign * inside)
    elif value > np.median(inside):
        sign = 1
    if not sign * value < (sign * volumes).max():  # nor not a number
        raise TemporemError(
            f"no voxel exceeds the level {value:.3g}",
            expected=f"a level between {float(volumes.min()):.3g} and {float(volumes.max()):.3g}",
        )
    mean, spread = mean_and_sigma(volumes)
    return Level(value, (value - mean) / spread, sign)


def mean_and_sigma(volumes: np.ndarray) -> tuple[float, float]:
    """Measure what levels in σ are counted from, and σ: mean and deviation of all voxels."""
    return float(volumes.mean(dtype=np.float64)), float(volumes.std(dtype=np.float64))


def matched_levels(stacks: Sequence[np.ndarray]) -> list[Level]:
    """Find levels of stacks of volumes ``(S, D, D, D)`` that enclose equal volume on average.

    The :func:`find_level` of the first stack decides how much. Methods may scale density
    differently, but the volume of the molecule is the same. One level for all frames of a stack
    shows where a part fades. Stacks without a surface, such as empty ones, get the level of their
    largest voxel.
    """
    first, *others = stacks
    try:
        level = find_level(first)
    except TemporemError:
        level = Level(float(first.max()), 0.0)
    fraction = float((level.sign * first > level.height).mean())
    levels = [level]
    for stack in others:
        sign = brighter_side(stack[:, in_sphere(stack.shape[-1])])
        value = sign * float(np.quantile(sign * stack, 1 - fraction))
        spread = float(stack.std(dtype=np.float64)) or 1.0
        levels.append(Level(value, (value - float(stack.mean())) / spread, sign))
    return levels


def in_sphere(box: int) -> np.ndarray:
    """Find the voxels of the sphere that fits into a box: bool ``(D, D, D)``."""
    axis = np.arange(box) - box // 2
    radius = np.sqrt((axis**2)[:, None, None] + (axis**2)[:, None] + axis**2)
    return np.asarray(radius < box / 2)


def brighter_side(values: np.ndarray) -> int:
    """Find the sign of a molecule against its surroundings: 1, or −1 if it is clearly darker.

    Noise reaches equally far to both sides of the median; a molecule reaches further to its own.
    """
    low, middle, high = np.quantile(values, [_TAILS[0], 0.5, _TAILS[1]])
    return -1 if middle - low > _CLEARLY_DARKER * (high - middle) else 1


def _level_of_bright(inside: np.ndarray) -> float:
    background = float(np.median(inside))
    sigma = _MAD_TO_SIGMA * float(np.median(np.abs(inside - background)))
    otsu = float(threshold_otsu(inside)) if inside.min() < inside.max() else background
    brick, specks = np.quantile(inside, [1 - _MOST_ENCLOSED, 1 - _LEAST_ENCLOSED])
    wanted = max(otsu, background + _LEAST_SIGMAS * sigma)
    return float(min(max(wanted, brick), specks))
