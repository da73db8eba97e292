"""The linear start: likelihood never falls, and a known component is found from any start."""

import math

import pytest
import torch
from torch import Tensor

from temporem.models.linear import LinearModel
from temporem.physics.forward import ForwardModel
from temporem.physics.projection import FormFactor, structure_factors
from temporem.physics.rotations import random_rotations

BOX, PIXEL, N, RADIUS = 16, 3.0, 240, 6
MODEL = ForwardModel(BOX, PIXEL)
GAUSSIAN = FormFactor(torch.tensor([1.0]), torch.tensor([8 * math.pi**2 * (1.5 * PIXEL) ** 2]))
ENDS = torch.tensor([[12.0, 0.0, 0.0], [0.0, 12.0, 3.0]], dtype=torch.float64)


@pytest.fixture(scope="module")
def coordinates() -> Tensor:
    return torch.randn(N, generator=torch.Generator().manual_seed(0))


def linear_model(coordinates: Tensor, amplitude: float, z_dim: int = 1) -> LinearModel:
    """Frames of ``z · U`` with U the difference of two blobs, CTF and unit noise."""
    generator = torch.Generator().manual_seed(1)
    rotations = random_rotations(N, generator)
    one = torch.zeros(1, dtype=torch.long)
    ends = [
        structure_factors(end @ rotations.mT, one, [GAUSSIAN], MODEL.support, PIXEL)
        for end in ENDS[:, None]
    ]
    slices = ends[0] - ends[1]
    slices = slices / slices.abs().square().mean().sqrt() * amplitude
    contrast = (0.3 * MODEL.support.radii + torch.arange(N)[:, None]).cos()
    clean = MODEL.observe(slices * coordinates[:, None], contrast)
    images = MODEL.add_noise(clean, torch.tensor(1.0), generator)
    prior = torch.full((RADIUS + 2,), 4.0 * amplitude**2)
    return LinearModel(MODEL, images, contrast, rotations.float(), z_dim, RADIUS, prior)


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1].abs())


def test_likelihood_rises_to_a_limit(coordinates: Tensor) -> None:
    history = linear_model(coordinates, 1.0).fit(torch.Generator().manual_seed(2)).log_likelihood
    steps = torch.tensor(history).diff()
    # The interpolation of the M-step is diagonal, which costs a little at the optimum.
    assert (steps > -2e-3 * history[-1]).all()
    assert steps[-1].abs() < 1e-3 * history[-1]


@pytest.mark.parametrize("seed", [3, 4])
def test_a_known_component_is_found_from_any_start(coordinates: Tensor, seed: int) -> None:
    posterior = linear_model(coordinates, 1.0).fit(torch.Generator().manual_seed(seed))
    assert correlation(posterior.mean[:, 0], coordinates) > 0.97


def test_noise_alone_has_no_component() -> None:
    signal = linear_model(torch.ones(N), 1.0).fit(torch.Generator().manual_seed(6))
    noise = linear_model(torch.zeros(N), 1.0).fit(torch.Generator().manual_seed(6))
    assert noise.log_likelihood[-1] < 0.15 * signal.log_likelihood[-1]


def test_a_second_component_takes_little_when_there_is_one(coordinates: Tensor) -> None:
    one = linear_model(coordinates, 1.0).fit(torch.Generator().manual_seed(7))
    two = linear_model(coordinates, 1.0, z_dim=2).fit(torch.Generator().manual_seed(7))
    assert two.mean.shape == (N, 2)
    best = torch.linalg.lstsq(two.mean, coordinates[:, None]).solution
    assert correlation((two.mean @ best)[:, 0], coordinates) > 0.95
    assert abs(two.log_likelihood[-1] / one.log_likelihood[-1] - 1) < 0.1
