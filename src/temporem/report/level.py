"""The level of a surface, in units that compare between volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from temporem.errors import TemporemError
from temporem.report.render import isosurface_level

_LEAST_SIGMAS = 3.0
_MAD_TO_SIGMA = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Level:
    """Density at which a surface is drawn.

    Attributes:
        value: in the units of the volumes.
        sigmas: height above the mean of the volumes, in standard deviations of their voxels, as
            ChimeraX and Coot count.
    """

    value: float
    sigmas: float

    def __str__(self) -> str:
        return f"level {self.value:.3g} ({self.sigmas:.1f} σ)"


def find_level(volumes: np.ndarray, value: float | None = None) -> Level:
    """Find one level for volumes ``(S, D, D, D)`` that separates molecule and background.

    Only the sphere that fits into the box counts. Otsu's threshold (1979) separates; it is at
    least three standard deviations above the background. The background is measured by the median
    and the median absolute deviation, which the few voxels of a molecule do not change.

    Args:
        volumes: ``(S, D, D, D)``.
        value: take this level, and measure only how high it is.

    Raises:
        TemporemError: no voxel exceeds the level, so that there is no surface.
    """
    if value is None:
        box = volumes.shape[-1]
        axis = np.arange(box) - box // 2
        radius = np.sqrt((axis**2)[:, None, None] + (axis**2)[:, None] + axis**2)
        inside = volumes[:, radius < box / 2]
        background = float(np.median(inside))
        sigma = _MAD_TO_SIGMA * float(np.median(np.abs(inside - background)))
        otsu = isosurface_level(inside) if inside.min() < inside.max() else background
        value = max(otsu, background + _LEAST_SIGMAS * sigma)
    if not value < volumes.max():  # nor not a number
        raise TemporemError(
            f"no voxel exceeds the level {value:.3g}",
            expected=f"a level between {float(volumes.min()):.3g} and {float(volumes.max()):.3g}",
        )
    mean, spread = mean_and_sigma(volumes)
    return Level(value, (value - mean) / spread)


def mean_and_sigma(volumes: np.ndarray) -> tuple[float, float]:
    """Measure what levels in σ are counted from, and σ: mean and deviation of all voxels."""
    return float(volumes.mean(dtype=np.float64)), float(volumes.std(dtype=np.float64))
