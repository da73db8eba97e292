"""The half transform: against a direct Fourier sum, and the algebra that models rely on."""

import itertools
import math

import pytest
import torch

from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import soft_ball

SUPPORTS = [
    pytest.param(FourierSupport(12, 2), id="image"),
    pytest.param(FourierSupport(12, 3), id="volume"),
    pytest.param(FourierSupport(12, 2, 4.5), id="image-low-pass"),
    pytest.param(FourierSupport(12, 3, 4.5), id="volume-low-pass"),
]


def real_noise(support: FourierSupport, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (n, *(support.box,) * support.ndim)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def coefficients(support: FourierSupport, n: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, len(support), generator=generator, dtype=torch.complex128)


def direct_transform(support: FourierSupport, arrays: torch.Tensor, sign: int = 1) -> torch.Tensor:
    """``D^(-ndim/2) Σ_x a(x) exp(−2πi sign·k·(x − D//2) / D)``, written as the sum it is."""
    axis = torch.arange(support.box, dtype=torch.float64) - support.box // 2
    x = torch.stack(torch.meshgrid(*([axis] * support.ndim), indexing="ij")).flatten(1)
    k = sign * support.frequencies.double().flip(-1)  # (z, y, x), as the axes of an array
    waves = torch.exp(-2j * torch.pi * (k @ x) / support.box)
    return arrays.flatten(1).to(waves.dtype) @ waves.T / support.box ** (support.ndim / 2)


@pytest.mark.parametrize("support", SUPPORTS)
def test_frequencies_and_their_mirrors_fill_the_ball_once(support: FourierSupport) -> None:
    limit = support.radius or support.box / 2
    axis = range(-support.box // 2, support.box // 2 + 1)
    ball = {
        k for k in itertools.product(axis, repeat=support.ndim) if sum(c * c for c in k) < limit**2
    }
    half = [tuple(k) for k in support.frequencies.tolist()]
    mirrors = [tuple(-c for c in k) for k in half[1:]]
    assert half[0] == (0,) * support.ndim
    assert len(half + mirrors) == len(ball)  # none twice …
    assert set(half + mirrors) == ball  # … and none left out
    assert support.weights.sum().item() == len(ball)
    radii = support.frequencies.double().norm(dim=-1)
    assert (radii.diff() >= 0).all()
    torch.testing.assert_close(support.radii.double(), radii, rtol=1e-6, atol=0)


@pytest.mark.parametrize("support", SUPPORTS)
def test_fft_is_the_centred_orthonormal_transform(support: FourierSupport) -> None:
    arrays = real_noise(support, 2)
    expected = direct_transform(support, arrays)
    torch.testing.assert_close(support.fft(arrays), expected, rtol=0, atol=1e-12)
    # Friedel: the mirrored half, which is not kept, is the conjugate.
    torch.testing.assert_close(
        direct_transform(support, arrays, sign=-1),
        expected.conj().resolve_conj(),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("support", SUPPORTS)
def test_ifft_inverts_fft_on_band_limited_arrays(support: FourierSupport) -> None:
    wanted = coefficients(support, 3)
    wanted[:, 0] = wanted[:, 0].real.to(wanted.dtype)
    arrays = support.ifft(wanted)
    assert arrays.dtype == torch.float64
    assert arrays.shape == (3, *(support.box,) * support.ndim)
    torch.testing.assert_close(support.fft(arrays), wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(support.ifft(support.fft(arrays)), arrays, rtol=0, atol=1e-12)


@pytest.mark.parametrize("support", SUPPORTS)
def test_ifft_is_the_adjoint_of_fft(support: FourierSupport) -> None:
    arrays, values = real_noise(support, 1)[0], coefficients(support, 1)[0]
    in_real_space = (arrays * support.ifft(values)).sum()
    in_fourier_space = (support.weights * (support.fft(arrays).conj() * values).real).sum()
    torch.testing.assert_close(in_real_space, in_fourier_space, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("support", SUPPORTS)
def test_power_is_preserved(support: FourierSupport) -> None:
    arrays = support.ifft(coefficients(support, 4))
    power = (support.weights * support.fft(arrays).abs().square()).sum(-1)
    torch.testing.assert_close(power, arrays.square().flatten(1).sum(-1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_point_at_the_centre_voxel_is_flat_and_real(ndim: int) -> None:
    support = FourierSupport(10, ndim)
    point = torch.zeros((10,) * ndim, dtype=torch.float64)
    point[(5,) * ndim] = 1
    flat = torch.full((len(support),), 10 ** (-ndim / 2), dtype=torch.complex128)
    torch.testing.assert_close(support.fft(point), flat, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("ndim", "axes"), [(2, ["y", "x"]), (3, ["z", "y", "x"])])
def test_moving_a_point_turns_the_phase_of_its_own_axis(ndim: int, axes: list[str]) -> None:
    support = FourierSupport(10, ndim)
    for dim, name in enumerate(axes):
        point = torch.zeros((10,) * ndim, dtype=torch.float64)
        where = [5] * ndim
        where[dim] += 2
        point[tuple(where)] = 1
        k = support.frequencies[:, "xyz".index(name)]
        expected = torch.exp(-2j * torch.pi * k.double() * 2 / 10) * 10 ** (-ndim / 2)
        torch.testing.assert_close(support.fft(point), expected, rtol=0, atol=1e-14)


def test_white_noise_keeps_its_variance() -> None:
    support = FourierSupport(12, 2)
    values = support.fft(3 * real_noise(support, 4000))
    variance = values.abs().square().mean(0)
    # |X|² of 4000 draws: relative standard deviation 1/√4000, √2 of that at the real origin.
    torch.testing.assert_close(variance, torch.full_like(variance, 9.0), rtol=0.12, atol=0)


def test_batches_of_any_shape() -> None:
    support = FourierSupport(8, 3)
    arrays = real_noise(support, 6)
    together = support.fft(arrays.view(2, 3, 8, 8, 8))
    assert together.shape == (2, 3, len(support))
    torch.testing.assert_close(together.view(6, -1), support.fft(arrays), rtol=0, atol=1e-14)
    torch.testing.assert_close(
        support.ifft(together).view(6, 8, 8, 8),
        support.ifft(support.fft(arrays)),
        rtol=0,
        atol=1e-14,
    )


def test_shell_sums_count_the_whole_plane_and_leave_out_nyquist() -> None:
    support = FourierSupport(12, 2)
    values = real_noise(support, 1).new_tensor(range(len(support)))
    sums, means = [0.0] * 6, [0] * 6
    for value, k in zip(values.tolist(), support.frequencies.tolist(), strict=True):
        shell = round((k[0] ** 2 + k[1] ** 2) ** 0.5)
        if shell < 6:
            copies = 1 if k == [0, 0] else 2
            sums[shell] += copies * value
            means[shell] += copies
    assert support.shell_sums(values).tolist() == sums
    expected = [total / n for total, n in zip(sums, means, strict=True)]
    assert support.shell_means(values).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("box", "ndim"), [(11, 2), (0, 2), (8, 1), (8, 4)])
def test_impossible_boxes_are_refused(box: int, ndim: int) -> None:
    with pytest.raises(ValueError, match=r"box must be even|ndim must be 2 or 3"):
        FourierSupport(box, ndim)


@pytest.mark.parametrize("ndim", [2, 3])
def test_soft_ball_falls_from_one_to_zero_around_the_centre_voxel(ndim: int) -> None:
    ball = soft_ball(16, ndim, radius=3, edge=4)
    profile = ball[(8,) * (ndim - 1)]
    half = 0.5 * (1 + math.sqrt(0.5))
    expected = [0, 0, 1 - half, 0.5, half, 1, 1, 1, 1, 1, 1, 1, half, 0.5, 1 - half, 0]
    assert profile.tolist() == pytest.approx(expected, abs=1e-6)
    for dim in range(ndim):  # alike along every axis and on either side of the centre
        torch.testing.assert_close(ball, ball.transpose(0, dim))
        inner = ball.narrow(dim, 1, 15)
        torch.testing.assert_close(inner, inner.flip(dim))
