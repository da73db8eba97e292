"""PSNR and SSIM of volumes after a common low-pass and a fit of brightness and contrast.

Both volumes are cut in Fourier space to a smaller grid whose Nyquist frequency is the cut-off, so
that higher frequencies, mostly noise in the reconstruction, do not decide the result. The
reconstruction V is then replaced by ``a V + b``, the least-squares fit to the truth T over the box.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from skimage.metrics import structural_similarity
from torch import Tensor

from temporem.evaluation.case import Pair
from temporem.evaluation.evaluation import Arrays, Evaluation
from temporem.evaluation.metrics.metric import NO_PLACE, FrameMetric, Score
from temporem.evaluation.sample import Sample
from temporem.physics.fourier import FourierSupport

SSIM_WINDOW = 7
"""Edge of SSIM's uniform window, voxels of the low-pass grid."""


class ImageQuality(FrameMetric):
    """PSNR and SSIM of every frame's volume."""

    name = "image_quality"
    title = "Image quality"
    scores = (
        Score(
            "psnr_db",
            "PSNR",
            "Mean over frames of 10 log₁₀(range(T)² / mean (aV + b − T)²), both volumes low-passed "
            "and a, b fitted by least squares.",
            unit="dB",
            digits=2,
            ranks={NO_PLACE: 6},
            noun="PSNR",
        ),
        Score(
            "ssim",
            "SSIM",
            "Mean over frames of the structural similarity of aV + b and T (Wang et al. 2004), low-"
            f"passed and fitted as for PSNR, in windows of {SSIM_WINDOW} voxels.",
        ),
    )

    def measure(self, pair: Pair) -> Mapping[str, np.ndarray]:
        """PSNR and SSIM of each volume."""
        grid = low_pass_grid(pair.case.support.box, pair.case.settings.low_pass_fraction)
        psnr, ssim = image_quality(pair.volumes, pair.truth, grid)
        return {"psnr_db": psnr, "ssim": ssim}

    def details(self, arrays: Arrays, sample: Sample) -> dict[str, Any]:
        """The cut-off of the low-pass."""
        return {"low_pass_angstrom": low_pass_angstrom(sample.evaluation)}


IMAGE_QUALITY = ImageQuality()


def low_pass_angstrom(evaluation: Evaluation) -> float:
    """Resolution of the low-pass filter before PSNR and SSIM."""
    grid = low_pass_grid(evaluation.box, evaluation.settings.low_pass_fraction)
    return evaluation.box * evaluation.pixel_size_angstrom / (grid.box / 2)


@lru_cache(maxsize=2)
def low_pass_grid(box: int, fraction: float) -> FourierSupport:
    """The support of the grid whose Nyquist frequency is ``fraction`` of a box's."""
    return FourierSupport(max(2 * round(fraction * box / 2), SSIM_WINDOW + 1), 3)


def image_quality(
    volumes: Tensor, truth: Tensor, grid: FourierSupport
) -> tuple[np.ndarray, np.ndarray]:
    """PSNR in dB and mean SSIM of volumes, one pair per volume.

    The data range is that of the low-passed true volume (max − min). SSIM has a uniform window
    (``SSIM_WINDOW``) and the customary constants K1 = 0.01, K2 = 0.03.

    Args:
        volumes, truth: complex ``(B, P)`` on a support at least as large as ``grid``.
        grid: the low-pass grid.

    Returns:
        Float64 ``(B,)`` each.
    """
    psnr, ssim = np.empty((2, len(volumes)))
    pairs = zip(_on_grid(volumes, grid), _on_grid(truth, grid), strict=True)
    for i, (volume, true) in enumerate(pairs):
        fitted = affine_fit(volume, true)
        span = float(true.max() - true.min())
        psnr[i] = peak_signal_to_noise(fitted, true, span)
        ssim[i] = structural_similarity(true, fitted, win_size=SSIM_WINDOW, data_range=span)
    return psnr, ssim


def peak_signal_to_noise(volume: np.ndarray, target: np.ndarray, span: float) -> float:
    """``10 log₁₀(span² / mean (volume − target)²)`` in dB; at most single precision's 138 dB."""
    error = np.square(volume - target, dtype=np.float64).mean()
    return float(10 * np.log10(span**2 / max(error, (np.finfo(np.float32).eps * span) ** 2)))


def affine_fit(volume: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``a · volume + b`` nearest to ``target`` in least squares; ``b`` alone for a flat volume."""
    centred, wanted = volume - volume.mean(), target - target.mean()
    power = np.vdot(centred, centred)
    scale = np.vdot(centred, wanted) / power if power > 0 else 0.0
    return scale * centred + target.mean()


def _on_grid(coefficients: Tensor, grid: FourierSupport) -> np.ndarray:
    """Real volumes on a smaller grid: complex ``(B, P)`` → float32 ``(B, d, d, d)``."""
    # Coefficients are sorted by radius, so those of a smaller ball come first, in the same order.
    return grid.ifft(coefficients[..., : len(grid)]).cpu().numpy()
