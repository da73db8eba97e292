"""The level of a surface, in units that compare between volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.filters import threshold_otsu

_LEAST_SIGMAS = 3.0
_MAD_TO_SIGMA = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Level:
    """Density at which a surface is drawn.

    Attributes:
        value: in the units of the volumes.
        sigmas: height above the mean of the volumes, in standard deviations of their voxels, as
            ChimeraX and Coot count; infinite where all voxels are the same.
    """

    value: float
    sigmas: float

    def __str__(self) -> str:
        height = f" ({self.sigmas:.1f} σ)" if np.isfinite(self.sigmas) else ""
        return f"level {self.value:.3g}{height}"


def find_level(volumes: np.ndarray, value: float | None = None) -> Level:
    """Find one level for volumes ``(S, D, D, D)`` that separates molecule and background.

    Only the sphere that fits into the box counts. Otsu's threshold (1979) separates; it is at
    least three standard deviations above the background. The background is measured by the median
    and the median absolute deviation, which the few voxels of a molecule do not change.

    Args:
        volumes: ``(S, D, D, D)``.
        value: take this level, and measure only how high it is.
    """
    if value is None:
        box = volumes.shape[-1]
        axis = np.arange(box) - box // 2
        radius = np.sqrt((axis**2)[:, None, None] + (axis**2)[:, None] + axis**2)
        inside = volumes[:, radius < box / 2]
        background = float(np.median(inside))
        sigma = _MAD_TO_SIGMA * float(np.median(np.abs(inside - background)))
        otsu = float(threshold_otsu(inside)) if inside.min() < inside.max() else background
        value = max(otsu, background + _LEAST_SIGMAS * sigma)
    spread = float(volumes.std(dtype=np.float64))
    height = value - float(volumes.mean(dtype=np.float64))
    return Level(value, height / spread if spread > 0 else float("inf"))
