"""A linear model refined by a generator: a sum, exact on grids, masked when it is decoded."""

import pytest
import torch
from torch import nn

from temporem.physics.fourier import FourierSupport
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.refined_volumes import RefinedVolumes

BOX, Z_DIM = 12, 2
SUPPORT = FourierSupport(BOX, 3)


@pytest.fixture(params=[Z_DIM, Z_DIM + 3])
def generator(request: pytest.FixtureRequest) -> RefinedVolumes:
    torch.manual_seed(0)
    made = RefinedVolumes(FourierNetwork(BOX, Z_DIM, 16, n_features=10), request.param)
    nn.init.normal_(made.curve.bend.last.weight)
    white = torch.randn(request.param + 1, BOX, BOX, BOX)
    maps = SUPPORT.ifft(SUPPORT.fft(white))  # without the corners of Fourier space
    made.start_from(maps, torch.ones(BOX, BOX, BOX), made.curve, torch.zeros(1, Z_DIM))
    return made


@pytest.fixture
def z() -> torch.Tensor:
    return torch.randn(3, Z_DIM, generator=torch.Generator().manual_seed(1))


def test_slices_are_the_sum_of_both(generator: RefinedVolumes, z: torch.Tensor) -> None:
    k = 8 * torch.rand(3, 50, 3, generator=torch.Generator().manual_seed(2)) - 4
    expected = generator.change(k, z) + generator.base(k, generator.curve(z))
    assert generator(k, z).equal(expected)
    torch.testing.assert_close(generator(-k, z), expected.conj().resolve_conj(), rtol=0, atol=1e-4)


def test_volumes_add_the_linear_model_without_interpolation(
    generator: RefinedVolumes, z: torch.Tensor
) -> None:
    base = SUPPORT.fft(generator.base.maps)
    linear = base[0] + generator.curve(z).to(base.dtype) @ base[1:]
    expected = generator.change.volumes(SUPPORT, z) + linear
    torch.testing.assert_close(generator.volumes(SUPPORT, z), expected, rtol=1e-4, atol=1e-4)


def test_mask_multiplies_what_the_generator_adds(
    generator: RefinedVolumes, z: torch.Tensor
) -> None:
    axis = torch.arange(BOX) - BOX // 2
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    moving = torch.exp(-square / 8.0)
    linear = generator.base.volumes(SUPPORT, generator.curve(z))
    change = SUPPORT.ifft(generator.volumes(SUPPORT, z) - linear)
    generator.start_from(
        generator.base.maps.clone(), moving, generator.curve, torch.zeros(1, Z_DIM)
    )
    masked = SUPPORT.ifft(generator.volumes(SUPPORT, z) - linear)
    expected = SUPPORT.ifft(SUPPORT.fft(moving * change))
    torch.testing.assert_close(masked, expected, rtol=0, atol=1e-5)


def test_loaded_weights_give_the_same_slices(generator: RefinedVolumes, z: torch.Tensor) -> None:
    other = RefinedVolumes(FourierNetwork(BOX, Z_DIM, 16, n_features=10), generator.base.z_dim)
    k = 4 * torch.rand(3, 50, 3, generator=torch.Generator().manual_seed(2))
    other(k, z)  # whatever was sliced before
    other.load_state_dict(generator.state_dict())
    assert other(k, z).equal(generator(k, z))


def test_arithmetic_is_that_of_the_generator(generator: RefinedVolumes) -> None:
    assert generator.dtype == torch.float32
    generator.set_dtype(torch.bfloat16)
    assert generator.dtype == generator.change.dtype == torch.bfloat16
