"""Volumes on voxels, sliced through Fourier space, against rotated analytic Gaussians."""

import math

import pytest
import torch

from helpers.matrices import covariance, randn
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.padded_grid import gridding_correction
from temporem.physics.rotations import random_rotations
from temporem.physics.structure_factors import FormFactor, structure_factors
from temporem.volumes.linear_volumes import LinearVolumes

BOX, PIXEL = 16, 3.0
MODEL = ForwardModel(BOX, PIXEL)
SIGMA = 1.3 * PIXEL
GAUSSIAN = FormFactor(torch.tensor([5.0]), torch.tensor([8 * math.pi**2 * SIGMA**2]))


NO_Z = torch.zeros(0)


@pytest.fixture
def blobs() -> torch.Tensor:
    """Positions of Gaussians that fill much of the box without symmetry, ``(6, 3)`` Å."""
    offsets = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 5 * offsets


def coefficients(positions: torch.Tensor, support: FourierSupport) -> torch.Tensor:
    element = torch.zeros(positions.shape[-2], dtype=torch.long)
    return structure_factors(positions, element, [GAUSSIAN], support, PIXEL)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_slices_are_projections_of_the_rotated_molecule(blobs: torch.Tensor) -> None:
    support = FourierSupport(BOX, 3)
    generator = LinearVolumes(BOX, 0)
    generator.set_mean(support.ifft(coefficients(blobs, support)))
    rotations = random_rotations(8, torch.Generator().manual_seed(1))
    slices = generator(MODEL.slice_frequencies(rotations.float()), NO_Z)
    expected = coefficients(blobs @ rotations.mT, MODEL.support)
    # What is left is the error of trilinear interpolation on the padded grid.
    assert relative_error(slices, expected) < 0.03
    wrong_hand = coefficients(blobs @ rotations, MODEL.support)
    assert relative_error(slices, wrong_hand) > 0.3


def test_coefficients_on_the_own_grid_are_exact(blobs: torch.Tensor) -> None:
    support = FourierSupport(BOX, 3)
    expected = coefficients(blobs, support)
    generator = LinearVolumes(BOX, 0)
    generator.set_mean(support.ifft(expected))
    torch.testing.assert_close(generator.coefficients(support)[0], expected, rtol=0, atol=1e-5)


def test_slices_of_a_real_volume_have_friedel_symmetry() -> None:
    generator = LinearVolumes(BOX, 0)
    generator.set_mean(torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(2)))
    k = 7 * torch.rand(200, 3, generator=torch.Generator().manual_seed(3)) - 3.5
    torch.testing.assert_close(generator(-k, NO_Z), generator(k, NO_Z).conj().resolve_conj())


def test_gridding_correction_is_the_transform_of_the_interpolation_kernel() -> None:
    # A triangle of half width one sample of a grid of 2D points, summed finely.
    x = torch.arange(BOX, dtype=torch.float64) - BOX // 2
    u = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    wave = torch.cos(2 * torch.pi * u[:, None] * x / (2 * BOX))
    kernel = torch.trapezoid((1 - u.abs())[:, None] * wave, u, dim=0)
    correction = gridding_correction(BOX).double()
    torch.testing.assert_close(correction[BOX // 2, BOX // 2], kernel, rtol=0, atol=1e-6)
    torch.testing.assert_close(correction[BOX // 2, :, BOX // 2], kernel, rtol=0, atol=1e-6)
    assert correction[0, 0, 0].item() == pytest.approx(kernel[0].item() ** 3, abs=1e-6)


def test_saved_volume_is_sliced_again_after_loading(blobs: torch.Tensor) -> None:
    support = FourierSupport(BOX, 3)
    saved = torch.nn.ModuleDict({"mean": LinearVolumes(BOX, 0)})
    saved["mean"].set_mean(support.ifft(coefficients(blobs, support)))
    loaded = torch.nn.ModuleDict({"mean": LinearVolumes(BOX, 0)})
    loaded.load_state_dict(saved.state_dict())  # as a part of a model, as checkpoints are
    k = MODEL.slice_frequencies(torch.eye(3))
    assert loaded["mean"](k, NO_Z).equal(saved["mean"](k, NO_Z))
    assert loaded["mean"](k, NO_Z).abs().max() > 0


def test_slices_and_volumes_are_the_maps_combined() -> None:
    support = FourierSupport(BOX, 3)
    maps = torch.randn(3, BOX, BOX, BOX, generator=torch.Generator().manual_seed(4))
    generator = LinearVolumes(BOX, 2)
    generator.set_maps(maps)
    z = torch.tensor([[0.0, 0.0], [1.5, -0.5], [-2.0, 3.0]])
    frequencies = MODEL.slice_frequencies(random_rotations(3, torch.Generator().manual_seed(5)))
    slices = generator(frequencies.float(), z)
    for i, (one, two) in enumerate(z.tolist()):
        volume = maps[0] + one * maps[1] + two * maps[2]
        alone = LinearVolumes(BOX, 0)
        alone.set_mean(volume)
        found = support.ifft(generator.volumes(support, z[i : i + 1]))[0]
        torch.testing.assert_close(found, support.ifft(support.fft(volume)))
        torch.testing.assert_close(slices[i], alone(frequencies[i].float(), NO_Z))


def test_a_new_mean_takes_the_components_away() -> None:
    generator = LinearVolumes(BOX, 2)
    generator.set_maps(torch.ones(3, BOX, BOX, BOX))
    k = MODEL.slice_frequencies(torch.eye(3))
    before = generator(k, torch.ones(2))
    generator.set_mean(torch.ones(BOX, BOX, BOX))
    torch.testing.assert_close(3 * generator(k, torch.ones(2)), before)


def test_volumes_are_the_mean_and_components_times_latents() -> None:
    support = FourierSupport(8, 3)
    generator = LinearVolumes(8, 2)
    generator.maps.copy_(randn(3, 8, 8, 8))
    z = randn(5, 2, seed=1).float()
    found = support.ifft(generator.volumes(support, z))
    mean, first, second = support.ifft(support.fft(generator.maps))
    expected = mean + z[:, 0, None, None, None] * first + z[:, 1, None, None, None] * second
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_variance_of_voxels_is_that_of_samples() -> None:
    generator = LinearVolumes(4, 3)
    generator.maps.copy_(randn(4, 4, 4, 4))
    spread = covariance(2, 3, seed=1)
    variance = generator.variance(spread)
    assert variance.shape == (2, 4, 4, 4)
    for found, one in zip(variance, spread, strict=True):
        z = randn(20000, 3, seed=2) @ torch.linalg.cholesky(one).mT
        samples = torch.einsum("nj,jzyx->nzyx", z.float(), generator.maps[1:])
        torch.testing.assert_close(found, samples.var(0), rtol=0.06, atol=1e-3)
    assert (generator.variance(torch.zeros(1, 3, 3)) == 0).all()
