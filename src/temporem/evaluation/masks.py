"""The two masks of an evaluation, made from the true volumes alone.

All methods are measured inside the same masks, because no reconstruction enters them:

- *particle*: where the mean of the true volumes is dense;
- *moving*: where the true volumes change from frame to frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import soft_mask

WHOLE_BOX, PARTICLE, MOVING = "unmasked", "particle", "moving"

REGIONS = {WHOLE_BOX: "whole box", PARTICLE: "particle mask", MOVING: "moving region"}
"""The regions in which volumes are compared, with their names for people."""

STILL = 1e-4
"""The truth moves if its standard deviation exceeds this fraction of the mean's peak."""


@dataclass(frozen=True)
class MaskSettings:
    """Settings of masks: low-pass, threshold, dilate, soften a map. Lengths in voxels.

    Attributes:
        smoothing: standard deviation of the Gaussian low-pass.
        density_threshold: particle mask, fraction of the greatest mean density.
        motion_threshold: moving mask, fraction of the greatest standard deviation over frames.
        dilation: growth of the thresholded region.
        soft_edge: width of the raised-cosine fall from 1 to 0 outside the grown region.
        max_frames: masks are made from at most this many frames, drawn at random with a fixed seed.
    """

    smoothing: float = 1.0
    density_threshold: float = 0.1
    motion_threshold: float = 0.2
    dilation: float = 2.0
    soft_edge: float = 4.0
    max_frames: int = 200


@dataclass(frozen=True)
class TruthMasks:
    """Soft masks in 0 … 1, float32 ``(D, D, D)``.

    Attributes:
        particle: where the molecule is.
        moving: where it moves; None when the truth is the same in every frame.
    """

    particle: Tensor
    moving: Tensor | None

    def regions(self) -> dict[str, Tensor | None]:
        """The regions that are measured, by name; None is the whole box."""
        regions: dict[str, Tensor | None] = {WHOLE_BOX: None, PARTICLE: self.particle}
        return regions if self.moving is None else {**regions, MOVING: self.moving}


def truth_masks(
    batches: Iterable[Tensor], support: FourierSupport, settings: MaskSettings
) -> TruthMasks:
    """Particle and moving-region masks of the truth.

    Args:
        batches: Fourier coefficients of true volumes, complex ``(B, P)`` each; read once.
        support: the frequencies of the coefficients.
        settings: how the masks are made.
    """
    mean, deviation = _smoothed_moments(batches, support, settings.smoothing)
    dilation, edge = settings.dilation, settings.soft_edge
    particle = soft_mask(mean > settings.density_threshold * mean.max(), dilation, edge)
    if deviation.max() <= STILL * np.abs(mean).max():
        return TruthMasks(particle, None)
    moving = soft_mask(deviation > settings.motion_threshold * deviation.max(), dilation, edge)
    return TruthMasks(particle, moving)


def apply_mask(volumes: Tensor, mask: Tensor, support: FourierSupport) -> Tensor:
    """Fourier coefficients of masked real volumes: ``(..., D, D, D)`` → complex ``(..., P)``."""
    return support.fft(volumes * mask)


def _smoothed_moments(
    batches: Iterable[Tensor], support: FourierSupport, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over frames of low-passed volumes, ``(D, D, D)`` each."""
    exponent = -2 * (math.pi * smoothing * support.radii.double() / support.box).square()
    low_pass = exponent.exp().float()
    shape = (support.box,) * 3
    total, squares = torch.zeros(2, *shape, dtype=torch.float64)
    reference: Tensor | None = None
    count = 0
    for batch in batches:
        smooth = support.ifft(batch * low_pass)
        if reference is None:  # sums of small differences keep their digits
            reference = smooth[0].clone()
        difference = (smooth - reference).double()
        total += difference.sum(0)
        squares += difference.square().sum(0)
        count += len(batch)
    if reference is None:
        raise ValueError("masks need at least one frame")
    offset = total / count
    variance = (squares / count - offset.square()).clamp_min(0)
    return (reference + offset).numpy(), variance.sqrt().numpy()
