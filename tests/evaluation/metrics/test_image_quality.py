"""PSNR and SSIM: what they see and what they do not."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from helpers.swing import blob
from temporem.evaluation.metrics.image_quality import (
    affine_fit,
    image_quality,
    low_pass_grid,
    peak_signal_to_noise,
)
from temporem.physics.fourier import FourierSupport

BOX = 16


@pytest.fixture(scope="module")
def support():
    return FourierSupport(BOX, 3)


def test_affine_change_of_the_volume_changes_neither_psnr_nor_ssim(support):
    generator = torch.Generator().manual_seed(0)
    truth = torch.stack([blob((3, 1, 0), 1.5, BOX), blob((0, -2, 1), 1.5, BOX)])
    noisy = truth + 0.1 * torch.randn(truth.shape, generator=generator)
    grid = low_pass_grid(support.box, 0.75)
    plain = image_quality(support.fft(noisy), support.fft(truth), grid)
    changed = image_quality(support.fft(-4 * noisy + 7), support.fft(truth), grid)
    np.testing.assert_allclose(changed, plain, rtol=1e-4)
    both = image_quality(support.fft(9 * noisy), support.fft(9 * truth), grid)
    np.testing.assert_allclose(both, plain, rtol=1e-4)
    noisier = truth + 0.3 * torch.randn(truth.shape, generator=generator)
    worse = image_quality(support.fft(noisier), support.fft(truth), grid)
    assert (worse[0] < plain[0] - 3).all()
    assert (worse[1] < plain[1]).all()


def test_affine_fit_is_least_squares():
    rng = np.random.default_rng(1)
    volume, target = rng.normal(size=(2, 5, 5, 5))
    design = np.stack([volume.ravel(), np.ones(125)], axis=1)
    expected = design @ np.linalg.lstsq(design, target.ravel(), rcond=None)[0]
    np.testing.assert_allclose(affine_fit(volume, target).ravel(), expected, atol=1e-12)
    np.testing.assert_allclose(affine_fit(np.ones((5, 5, 5)), target), target.mean())


def test_psnr_agrees_with_scikit_image_and_stays_finite():
    a, b = np.random.default_rng(2).normal(size=(2, 6, 6, 6))
    assert peak_signal_to_noise(a, b, 3.0) == pytest.approx(
        peak_signal_noise_ratio(b, a, data_range=3.0)
    )
    assert 100 < peak_signal_to_noise(a, a, 3.0) < 150


def test_what_lies_beyond_the_low_pass_does_not_count(support):
    grid = low_pass_grid(support.box, 0.75)
    assert grid.box == 12
    truth = support.fft(blob((1, 0, 0), 1.5, BOX)[None])
    beyond = torch.randn(len(support), generator=torch.Generator().manual_seed(3)) + 0j
    psnr, ssim = image_quality(truth + 10 * beyond * (support.radii >= 6), truth, grid)
    assert psnr[0] > 100
    assert ssim[0] == pytest.approx(1, abs=1e-6)
    psnr, _ = image_quality(truth + 10 * beyond * (support.radii >= 5.9), truth, grid)
    assert psnr[0] < 60


def test_low_pass_grid_samples_the_band_limited_volume(support):
    # Half of Nyquist: every second voxel, of a volume without anything above it.
    grid = low_pass_grid(support.box, 0.5)
    volume = support.ifft(support.fft(blob((1, 2, 0), 1.5, BOX)) * (support.radii < 4))
    coarse = grid.ifft(support.fft(volume)[: len(grid)]) * (8 / 16) ** 1.5
    torch.testing.assert_close(coarse, volume[::2, ::2, ::2], atol=1e-6, rtol=1e-4)
