"""The density of rotational diffusion: normalised, Gaussian when narrow, uniform when wide."""

from __future__ import annotations

import math

import pytest
import torch

from temporem.physics import rotational_diffusion
from temporem.physics.rotational_diffusion import log_diffusion_density
from temporem.physics.rotations import rotation_of_vector, vector_of_rotation

ANGLE = torch.linspace(1e-3, math.pi, 4001, dtype=torch.float64)
UNIFORM = (1 - ANGLE.cos()) / math.pi  # density of the angle of uniform rotations


def tau(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("value", [1e-3, 0.03, 0.3, 0.99, 1.01, 3.0])
def test_it_is_a_density(value: float) -> None:
    density = log_diffusion_density(ANGLE, tau(value)).exp()
    assert float(torch.trapezoid(density * UNIFORM, ANGLE)) == pytest.approx(1, abs=2e-3)


def test_both_forms_are_one_function(monkeypatch) -> None:
    """Where the two sums meet, and to either side of it."""
    for value in (0.6, 1.0, 1.6):
        monkeypatch.setattr(rotational_diffusion, "_SERIES_FROM", 0.5)
        series = log_diffusion_density(ANGLE, tau(value))
        monkeypatch.setattr(rotational_diffusion, "_SERIES_FROM", 2.0)
        torch.testing.assert_close(
            log_diffusion_density(ANGLE, tau(value)), series, atol=1e-7, rtol=0
        )


def test_narrow_it_is_a_gaussian_of_the_rotation_vector() -> None:
    """Haar's measure is ``d³w / 8π²`` near the origin."""
    variance = 2 * 1e-4
    gaussian = -0.5 * ANGLE.square() / variance - 1.5 * math.log(2 * math.pi * variance)
    expected = gaussian + math.log(8 * math.pi**2)
    near = 5 * variance**0.5 > ANGLE
    found = log_diffusion_density(ANGLE, tau(1e-4))
    torch.testing.assert_close(found[near], expected[near], atol=2e-3, rtol=0)


def test_wide_it_is_uniform() -> None:
    assert log_diffusion_density(ANGLE, tau(20.0)).abs().max() < 1e-6


def test_many_small_steps_have_its_angles() -> None:
    """``E[χ_1] = E[1 + 2 cos θ] = 3 exp(−2τ)``: of the kernel, and of a walk of small turns."""
    generator = torch.Generator().manual_seed(0)
    total, steps, n = 0.4, 40, 20000
    rotation = torch.eye(3, dtype=torch.float64).repeat(n, 1, 1)
    for _ in range(steps):
        w = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        rotation = rotation_of_vector((2 * total / steps) ** 0.5 * w) @ rotation
    angle = vector_of_rotation(rotation).norm(dim=-1)
    walked = float((1 + 2 * angle.cos()).mean())
    density = log_diffusion_density(ANGLE, tau(total)).exp() * UNIFORM
    integral = float(torch.trapezoid((1 + 2 * ANGLE.cos()) * density, ANGLE))
    assert integral == pytest.approx(3 * math.exp(-2 * total), abs=1e-3)
    assert walked == pytest.approx(integral, abs=0.03)


def test_finite_at_both_ends() -> None:
    ends = torch.tensor([0.0, math.pi], dtype=torch.float64)
    for value in (1e-6, 1e-2, 0.5, 5.0):
        assert torch.isfinite(log_diffusion_density(ends, tau(value))).all()
