"""Sums of Gaussians against their definition, and against structure factors of atoms."""

import math

import pytest
import torch

from temporem.physics.fourier import FourierSupport
from temporem.physics.gaussian_sums import gaussian_sums
from temporem.physics.structure_factors import FormFactor, structure_factors

BOX = 12


def cloud(ndim: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return 3 * torch.randn(2, 7, ndim, generator=random), torch.rand(7, generator=random)


@pytest.mark.parametrize("ndim", [2, 3])
def test_coefficients_are_the_sum_over_gaussians(ndim: int) -> None:
    centres, weights = cloud(ndim)
    support, sd = FourierSupport(BOX, ndim), torch.tensor(1.3)
    k = support.frequencies / BOX
    phase = -2 * math.pi * centres @ k.T.float()
    envelope = (-0.5 * (2 * math.pi * sd * k.norm(dim=-1)) ** 2).exp()
    expected = envelope * torch.einsum("n,bnp->bp", weights + 0j, torch.exp(1j * phase))
    found = gaussian_sums(centres, weights, sd, support)
    torch.testing.assert_close(found, expected / BOX ** (ndim / 2), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gaussian_sums(centres, weights, sd, support, 30), found[:, :30])


def test_a_gaussian_is_an_atom_of_gaussian_form() -> None:
    centres, _ = cloud(3)
    support, sd, pixel = FourierSupport(BOX, 3), 1.3, 2.0
    form = FormFactor(torch.tensor([1.0]), torch.tensor([8 * (math.pi * sd * pixel) ** 2]))
    element = torch.zeros(7, dtype=torch.long)
    atoms = structure_factors(pixel * centres.double(), element, [form], support, pixel)
    found = gaussian_sums(centres, torch.full((7,), pixel**-3), torch.tensor(sd), support)
    torch.testing.assert_close(found, atoms, rtol=1e-3, atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    centres, weights = cloud(2)
    support = FourierSupport(8, 2)
    values = [value.double().requires_grad_() for value in (centres, weights, torch.tensor(1.3))]

    def power(*parts: torch.Tensor) -> torch.Tensor:
        found = gaussian_sums(*(part.float() for part in parts), support)
        return (found - 0.1).abs().square().sum().double()

    # Waves are float32, so that differences are coarse.
    assert torch.autograd.gradcheck(power, values, eps=1e-2, atol=2e-3, rtol=2e-2, fast_mode=True)
