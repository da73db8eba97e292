"""Diffusion in a potential, and densities without the noise of frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.planted import planted_diffusion

from temporem.kinetics.correlation import lag_sums
from temporem.kinetics.langevin import Grid, fit_density, fit_langevin
from temporem.kinetics.symmetric_exponential import symmetric_exponential


def test_exponentials_and_their_derivatives() -> None:
    """Several matrices at a time, one with equal eigenvalues, whose eigenvectors are not smooth."""
    torch.manual_seed(0)
    root = torch.randn(4, 4, dtype=torch.float64)
    equal = torch.diag(torch.tensor([-1.0, -1.0, -2.0, -500.0], dtype=torch.float64))
    times = torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64)

    def dense(a: torch.Tensor) -> torch.Tensor:
        return torch.matrix_exp(a[..., None, :, :] * times[:, None, None])

    both = torch.stack([-root @ root.mT, equal])
    weights = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    slopes = []
    for function in (lambda a: symmetric_exponential(a, times), dense):
        a = both.clone().requires_grad_()
        value = (function((a + a.mT) / 2) * weights).sum()
        slopes.append((value, *torch.autograd.grad(value, (a,))))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-8)


def test_the_chain_on_the_grid_keeps_the_density_and_forgets() -> None:
    measured, _ = planted_diffusion(0.5, noise=0.2, movies=20)
    grid = Grid.of(measured)
    potential = torch.from_numpy(grid.points**2 / 2)
    diffusion = torch.full((len(grid.points) - 1,), 2.0, dtype=torch.float64)
    after = grid.transitions(potential, diffusion, torch.tensor([0.1, 50.0]).double())
    share = (-potential).softmax(0)
    for step in after:
        np.testing.assert_allclose(share @ step, share, atol=1e-12)
        np.testing.assert_allclose(step.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(after[1], share.expand_as(after[1]), atol=1e-9)


def test_diffusion_is_found_through_noise() -> None:
    measured, _ = planted_diffusion(0.5, noise=0.37, movies=100, seed=1)
    fit = fit_langevin(measured, Grid.of(measured))
    assert fit.mean_diffusion == pytest.approx(2.0, rel=0.2)
    assert fit.relaxation == pytest.approx(0.5, rel=0.25)
    assert (fit.density * fit.grid.spacing).sum() == pytest.approx(1)


def test_the_density_has_the_width_of_x_and_not_of_the_frames() -> None:
    """Frames vary by √2, half of it noise."""
    measured, _ = planted_diffusion(0.5, noise=1.0, movies=150, seed=2)
    grid = Grid.of(measured)
    energy = grid.basis.numpy() @ fit_density(measured, grid)
    share = np.exp(-(energy - energy.min()))
    share /= share.sum()
    mean = share @ grid.points
    assert share @ (grid.points - mean) ** 2 == pytest.approx(1.0, rel=0.2)
    assert np.var(measured.score / measured.information) > 1.7


def test_autocorrelation_is_that_of_x() -> None:
    measured, _ = planted_diffusion(0.5, noise=1.0, movies=400, seed=3)
    sums = lag_sums(measured)
    found = sums.correlation(np.ones(400))
    np.testing.assert_allclose(found[:6], np.exp(-sums.lags[:6] / 0.5), atol=0.12)
    np.testing.assert_allclose(sums.timescales(found)[:4], 0.5, rtol=0.3)
