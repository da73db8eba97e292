"""Single pixels that no noise and no molecule explains, and their repair.

A pixel of z standard deviations adds ``z²`` to the power of an image whose noise has ``D²``. It is
broken if it outweighs all the noise of its image and the brightest pixels of the others, and stands
alone: the median of the pixels around it is less than half of it. That median takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

_TIMES_TYPICAL = 3.0  # the brightest pixels of molecules differ less between views


@dataclass(frozen=True, eq=False)
class BrokenPixels:
    """Broken pixels of some rows.

    Attributes:
        repairs: flat indices of broken pixels and what takes their place, by row.
    """

    repairs: Mapping[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(places) for places, _ in self.repairs.values())

    def repair(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Repair images ``(F, D, D)`` of some rows ``(F,)``; others are returned as they are."""
        hit = [i for i, row in enumerate(rows.tolist()) if row in self.repairs]
        if not hit:
            return images
        images = images.copy()
        for i in hit:
            places, values = self.repairs[int(rows[i])]
            images[i].reshape(-1)[places] = values
        return images


def brightest_allowed(deviations: np.ndarray, box: int) -> float:
    """Standard deviations from the background beyond which a lone pixel is broken.

    Args:
        deviations: of the most extreme pixel of every image, ``(N,)``.
        box: edge D of the images.
    """
    return max(float(box), _TIMES_TYPICAL * float(np.median(deviations)))


def find_broken(image: np.ndarray, level: float, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Find broken pixels of one image ``(D, D)``, and what takes their place.

    Args:
        image: the image.
        level: its background.
        limit: distance from the background that only broken pixels have.
    """
    around = ndimage.median_filter(image, size=3, mode="reflect") - level
    away = image - level
    broken = (np.abs(away) > limit) & (np.abs(around) < 0.5 * np.abs(away))
    places = np.flatnonzero(broken)
    return places, (around.reshape(-1)[places] + level).astype(image.dtype)


def most_extreme(images: Tensor, levels: Tensor) -> Tensor:
    """Distance of every image's most extreme pixel from its background, ``(F,)``.

    Args:
        images: ``(F, D, D)``.
        levels: background of each, ``(F,)``.
    """
    return (images.flatten(1) - levels[:, None].to(images)).abs().amax(1).to(torch.float64)
