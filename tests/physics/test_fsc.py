"""Fourier shell correlation and the resolutions read from it, against closed forms."""

import math

import numpy as np
import pytest
import torch

from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import (
    HALF_MAP_THRESHOLD,
    area_under_curve,
    crossing_shell,
    fourier_shell_correlation,
    power_spectrum,
    resolution,
    shell_correlation,
)


@pytest.fixture(scope="module")
def support():
    return FourierSupport(24, 3)


def noise(support, n, seed):
    generator = torch.Generator().manual_seed(seed)
    return support.fft(torch.randn(n, *(support.box,) * 3, generator=generator))


def test_identical_volumes_correlate_fully_at_any_scale_and_offset(support):
    volume = noise(support, 2, 0)
    other = 3.7 * volume
    other[:, 0] *= -2.0  # the mean of the volume, which shell 0 ignores
    torch.testing.assert_close(
        fourier_shell_correlation(volume, other, support),
        torch.ones(2, support.n_shells, dtype=torch.float64),
    )
    flipped = fourier_shell_correlation(volume, -volume, support)
    torch.testing.assert_close(flipped[:, 1:], -torch.ones_like(flipped[:, 1:]))


def test_matches_the_definition_over_the_full_transform(support):
    # The half transform with weights must give what fftn of the whole volume gives.
    d = support.box
    first, second = np.random.default_rng(3).normal(size=(2, d, d, d))
    k = np.fft.fftfreq(d, 1 / d)
    shell = np.rint(np.sqrt(sum(axis**2 for axis in np.meshgrid(k, k, k)))).astype(int)
    a, b = np.fft.fftn(first), np.fft.fftn(second)
    radius = np.sqrt(sum(axis**2 for axis in np.meshgrid(k, k, k)))
    for s in range(1, d // 2):
        inside = (shell == s) & (radius < d / 2)
        expected = (a.conj() * b).real[inside].sum() / math.sqrt(
            (abs(a) ** 2)[inside].sum() * (abs(b) ** 2)[inside].sum()
        )
        fsc = fourier_shell_correlation(
            support.fft(torch.from_numpy(first)),
            support.fft(torch.from_numpy(second)),
            support,
        )
        assert fsc[s].item() == pytest.approx(expected, abs=1e-10)


def test_independent_noise_has_mean_zero_and_variance_one_over_coefficients(support):
    n = 400
    fsc = fourier_shell_correlation(noise(support, n, 1), noise(support, n, 2), support)
    per_shell = support.shell_sums(torch.ones(len(support), dtype=torch.float64))
    for s in range(2, support.n_shells):
        expected_sd = 1 / math.sqrt(per_shell[s])  # one real product a coefficient
        assert abs(fsc[:, s].mean()) < 5 * expected_sd / math.sqrt(n)
        assert fsc[:, s].std().item() == pytest.approx(expected_sd, rel=5 / math.sqrt(2 * n))


@pytest.mark.parametrize("snr", [0.25, 1.0, 4.0])
def test_noisy_copies_follow_the_signal_to_noise_formula(support, snr):
    signal = noise(support, 200, 4)
    one = signal + noise(support, 200, 5) / math.sqrt(snr)
    two = signal + noise(support, 200, 6) / math.sqrt(snr)
    half_maps = fourier_shell_correlation(one, two, support)[:, 4:].mean().item()
    against_truth = fourier_shell_correlation(one, signal, support)[:, 4:].mean().item()
    assert half_maps == pytest.approx(snr / (1 + snr), abs=5e-3)
    assert against_truth == pytest.approx(math.sqrt(snr / (1 + snr)), abs=5e-3)


def test_shell_without_power_has_no_correlation(support):
    volume = noise(support, 1, 7)
    low = volume * (support.shells < 5)
    fsc = fourier_shell_correlation(low, volume, support)[0]
    torch.testing.assert_close(fsc[:5], torch.ones_like(fsc[:5]))
    assert (fsc[5:] == 0).all()
    assert (power_spectrum(low, support)[0, 5:] == 0).all()


def test_resolution_interpolates_the_first_crossing():
    curve = np.array([1.0, 0.9, 0.7, 0.3, 0.8, 0.1, 0.0, 0.0])  # rises again after shell 3
    shell, never = crossing_shell(curve, 0.5)
    assert shell == pytest.approx(2.5)
    assert not never
    # Shell 2.5 of a box of 16 voxels of 2 Å: 32 / 2.5.
    assert resolution(curve, 0.5, 2.0).angstrom == pytest.approx(12.8)
    assert resolution(curve, 0.75, 2.0).angstrom == pytest.approx(32 / 1.75)
    assert area_under_curve(curve) == pytest.approx(curve[1:].sum() / 7)


def test_curve_on_the_threshold_crosses_where_it_falls_below_it():
    shell, never = crossing_shell(np.array([1.0, 0.5, 0.5, 0.4]), 0.5)
    assert shell == pytest.approx(2.0)
    assert not never


def test_curve_that_never_crosses_is_capped_at_nyquist_and_says_so():
    curves = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 0.9, 0.8, 0.5], [1.0, 0.9, 0.8, 0.4999]])
    angstrom, never = resolution(curves, 0.5, 3.0)
    assert never.tolist() == [True, True, False]
    assert angstrom[:2].tolist() == [6.0, 6.0]
    assert angstrom[2] > 6.0


def test_half_maps_are_read_at_one_seventh(support):
    # White signal, and noise that grows with frequency: FSC = 1 / (1 + σ²) by shell.
    sigma = (support.radii / 6) ** 2
    signal = noise(support, 1, 8)
    halves = [signal + sigma * noise(support, 1, seed) for seed in (9, 10)]
    curve = fourier_shell_correlation(*halves, support)
    res = resolution(curve.numpy(), HALF_MAP_THRESHOLD, 2.0)
    expected_shell = 6 * (1 / 0.143 - 1) ** 0.25
    assert res.angstrom[0] == pytest.approx(48 / expected_shell, rel=0.05)


def test_means_of_opposite_sign_make_no_negative_resolution():
    curve = np.array([-0.9, 0.5, 0.1, 0.0])
    assert (
        resolution(curve, 0.143, 1.0).angstrom == resolution([1, *curve[1:]], 0.143, 1.0).angstrom
    )
    assert resolution(-np.ones(4), 0.143, 1.0).angstrom > 0


def test_sums_over_shells_give_the_curve_and_means_give_the_same(support):
    a, b = noise(support, 2, 0)
    b = b + 0.5 * a
    sums = support.shell_sums((a.conj() * b).real.double())
    powers = [power_spectrum(x, support) for x in (a, b)]
    curve = fourier_shell_correlation(a, b, support)
    count = support.shell_sums(torch.ones(len(support), dtype=torch.float64))
    means = shell_correlation(sums / count, *(power / count for power in powers))
    torch.testing.assert_close(shell_correlation(sums, *powers)[1:], curve[1:])
    torch.testing.assert_close(means[1:], curve[1:])


def test_a_shell_without_power_correlates_with_nothing_and_nan_is_not_hidden():
    one, nan = torch.ones(1), torch.tensor([math.nan])
    assert shell_correlation(0 * one, one, 0 * one) == 0
    assert shell_correlation(nan, one, nan).isnan().all()
