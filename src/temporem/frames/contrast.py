"""The sign of images: is the molecule brighter or darker than its surroundings?

A molecule is a compact thing, denser than the liquid around it. So frames with the sign of their
CTF undone are brighter in the middle than farther out. Every frame gives one number: its product
with a blob in the middle of the box, without the mean of the image. The mean of these numbers, in
units of its standard error, is Student's t where there is only noise. No poses are needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor

from temporem.frames.image_statistics import ImageMeter, ImageStatistics
from temporem.frames.settings import DataSettings
from temporem.frames.streaming import image_window
from temporem.physics.ctf import CTFParameters
from temporem.physics.forward import ForwardModel

LIKELY = 1e-3
"""Chance that noise alone gives a number, below which it is believed."""

_BLOB = 0.12  # standard deviation of the blob, of the box
_SMALLEST_CHANCE = 1e-300


@dataclass(frozen=True)
class MiddleContrast:
    """Brightness of the middle of frames against what is around it.

    Attributes:
        t: mean over frames in standard errors, positive for bright molecules.
        n_frames: number of frames that were measured.
    """

    t: float
    n_frames: int

    @property
    def chance(self) -> float:
        """Probability that noise alone gives so large a t, of either sign."""
        one_side = float(special.stdtr(max(self.n_frames - 1, 1), -abs(self.t)))
        return max(2 * one_side, _SMALLEST_CHANCE)

    @property
    def sign(self) -> int:
        """1 for bright molecules, −1 for dark ones, 0 where the frames do not tell."""
        if self.chance >= LIKELY:
            return 0
        return 1 if self.t > 0 else -1

    def __str__(self) -> str:
        return (
            f"with their CTF undone, {self.n_frames} frames are "
            f"{'brighter' if self.t > 0 else 'darker'} in the middle than around it "
            f"(t = {self.t:.1f}, by chance 0 ± 1)"
        )


def measure_contrast(low: Tensor, ctf: Tensor, model: ForwardModel) -> MiddleContrast:
    """Compare the middle of frames with what is around it.

    Args:
        low: lowest Fourier coefficients of centred frames, complex ``(M, K)``.
        ctf: their CTF, ``(M, K)``.
        model: image formation, for its frequencies.
    """
    n = low.shape[1]
    blob = torch.exp(-2 * (torch.pi * _BLOB * model.support.radii[:n]) ** 2)
    blob = blob * model.support.weights[:n]
    blob[0] = 0  # a background level, or its subtraction, sits there
    products = (low.real * ctf * blob).sum(1).double().numpy()
    spread = float(products.std(ddof=1)) if len(products) > 1 else np.inf
    error = max(spread / len(products) ** 0.5, 1e-30)
    return MiddleContrast(float(products.mean()) / error, len(products))


def low_frequencies(
    images: ImageStatistics, model: ForwardModel, shifts_angstrom: Tensor, ctf: CTFParameters
) -> tuple[Tensor, Tensor]:
    """Lowest frequencies of some frames, centred, and their CTF, each ``(M, K)``.

    Args:
        images: statistics of N images, with the lowest frequencies of M of them.
        model: image formation.
        shifts_angstrom: displacement of the molecule in every image, ``(N, 2)``.
        ctf: parameters of every image, ``(N,)``.
    """
    index, n = torch.from_numpy(images.low_rows), images.low.shape[1]
    centring = model.shift_phase(-shifts_angstrom[index], slice(n))
    return images.low * centring, model.ctf(ctf[index], n)


def contrast_of_images(
    blocks: Iterable[np.ndarray],
    shifts_angstrom: Tensor,
    ctf: CTFParameters,
    model: ForwardModel,
) -> MiddleContrast:
    """Measure the contrast of images that come in blocks, as :func:`measure_contrast` does.

    Args:
        blocks: N images ``(n, D, D)`` in all, in their order.
        shifts_angstrom: displacement of the molecule in every image, ``(N, 2)``.
        ctf: parameters of every image, ``(N,)``.
        model: image formation at their box and pixel size.
    """
    window = image_window(model.box, DataSettings().window_radius)
    meter = ImageMeter(len(ctf), window, model.support)
    for block in blocks:
        images = torch.from_numpy(block)
        meter.add(images, images.flatten(1)[:, meter.corners].double())
    low, values = low_frequencies(meter.result(), model, shifts_angstrom, ctf)
    return measure_contrast(low, values, model)
