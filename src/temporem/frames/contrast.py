"""The sign of images: is the molecule brighter or darker than its surroundings?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from temporem.physics.masks import soft_ball

_INNER, _OUTER = 0.5, 0.8  # radii in half boxes: of the molecule, of the background
_CERTAIN = 5.0  # standard errors


class Contrast(NamedTuple):
    """Brightness of the middle of images against their surroundings.

    Attributes:
        difference: mean over frames of (middle − surroundings), in standard deviations of a pixel.
        standard_error: of that mean, from the spread between frames.
        n_frames: frames that were measured.
    """

    difference: float
    standard_error: float
    n_frames: int

    @property
    def sign(self) -> int:
        """1 for bright molecules, −1 for dark ones, 0 where the frames do not tell."""
        if abs(self.difference) < _CERTAIN * self.standard_error:
            return 0
        return 1 if self.difference > 0 else -1

    def __str__(self) -> str:
        what = {1: "brighter than", -1: "darker than", 0: "not clearly different from"}[self.sign]
        return (
            f"the middle of {self.n_frames} frames is {what} its surroundings: "
            f"{self.difference:+.3f} ± {self.standard_error:.3f} standard deviations of a pixel"
        )


def measure_contrast(blocks: Iterable[np.ndarray]) -> Contrast:
    """Compare the middle of frames with the ring around it.

    Projections of a molecule have one sign in the middle. The CTF keeps that sign at its lowest
    frequencies, which are ``+w`` and rise with underfocus, so a mean over the middle has it too.
    Frames are averaged as they are, so no poses are needed.

    Args:
        blocks: frames ``(n, D, D)``, any number of blocks of one size D.
    """
    differences: list[np.ndarray] = []
    for block in blocks:
        box = block.shape[-1]
        half = box / 2
        middle = soft_ball(box, 2, _INNER * half, 0.0).numpy() > 0
        ring = soft_ball(box, 2, _OUTER * half, 0.0).numpy() == 0
        spread = np.maximum(block[:, ring].std(axis=1, dtype=np.float64), 1e-30)
        inside = block[:, middle].mean(axis=1, dtype=np.float64)
        differences.append((inside - block[:, ring].mean(axis=1, dtype=np.float64)) / spread)
    all_frames = np.concatenate(differences)
    n = len(all_frames)
    error = all_frames.std(ddof=1) / n**0.5 if n > 1 else np.inf
    return Contrast(float(all_frames.mean()), float(error), n)
