"""Variance that errors of the volumes add to the posteriors of one latent, from half sets.

A posterior takes the volumes for known. They come from noisy images, and wherever a volume is wrong
it shifts the latents of all frames that look like it. So volumes are estimated once more from each
half of the movies, at low resolution and as a curve through the latents. Latents in the volumes of
one half differ from those in the other by the errors of both. A half has twice the variance of
all movies, so a quarter of the squared difference is the variance that is missing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.latent_grid import latent_grid, posterior_on_grid, scored_slices
from temporem.dvae.model import MovieVAE
from temporem.frames.frames import Frames
from temporem.frames.settings import DataSettings
from temporem.linear.cross_fit import coarse_solver, initial_parameters
from temporem.linear.model import Posterior
from temporem.volumes.linear_started import LinearStarted
from temporem.volumes.low_slices import LowSlices

LEAST_MOVIES = 4
"""Movies below which halves are not made, and the variance is taken for 0."""

_COMPONENTS = 6  # polynomials of the latent that volumes are made of
_EVEN = 0.02  # part of the chances of places that stays even
_KERNEL = 0.05  # of the range of latents: frames nearer than this share an error
_LEAST_WEIGHT = 1e-12


@torch.no_grad()
def volume_error_variance(model: MovieVAE, frames: Frames, probability: Tensor) -> Tensor:
    """Measure the variance of latents that comes from the volumes, at every place of the grid.

    Args:
        model: a trained model; its generator has one latent.
        frames: N frames; those of the training movies are used, in their given poses.
        probability: posteriors of the latent on the grid, ``(N, G)``.

    Returns:
        Variances ``(G,)``; 0 with few movies, or where the model learns poses.
    """
    movies = frames.training
    assert isinstance(model.generator, LinearStarted)
    places = latent_grid(model.generator)
    if len(movies) < LEAST_MOVIES or model.poses is not None:
        return torch.zeros_like(places)
    solver = coarse_solver(frames, DataSettings().window_radius)
    low = frames.low_pass(movies, solver.n_pixels)
    rows = torch.from_numpy(np.concatenate(movies)).to(places.device)
    basis = _polynomials(places, probability[rows])
    parameters = initial_parameters(
        solver, _COMPONENTS, frames.statistics.spectral_prior, temporal=False
    )
    expected = _expected(probability, basis)
    means = []
    for half in (movies[0::2], movies[1::2]):
        sums = solver.gather(parameters, expected, low.blocks(half))
        weights = torch.nn.functional.pad(basis, (1, 0), value=1.0).to(solver.mask)
        volumes = torch.einsum("gk,kzyx->gzyx", weights, solver.step(parameters, sums))
        slices = LowSlices(solver.grid, solver.grid.from_volumes(volumes))
        likelihood = scored_slices(model, low, movies, slices, solver.n_pixels)
        likelihood = frames.statistics.independent_share * likelihood
        means.append(posterior_on_grid(model, frames, movies, places, likelihood) @ places)
    missing = (means[0] - means[1])[rows].square() / 4
    return _smoothed(missing, probability[rows] @ places, places)


def _polynomials(places: Tensor, probability: Tensor) -> Tensor:
    """Polynomials of the latent, white and centred over the frames, float64 ``(G, K)``, on the CPU.

    Legendre polynomials, made orthonormal under the chances of places.
    """
    x = np.linspace(-1, 1, len(places))
    values = torch.from_numpy(np.polynomial.legendre.legvander(x, _COMPONENTS)[:, 1:])
    weights = (1 - _EVEN) * probability.mean(0).double().cpu() + _EVEN / len(places)
    centred = values - weights @ values
    root = torch.linalg.cholesky(centred.mT @ (weights[:, None] * centred))
    return torch.linalg.solve_triangular(root, centred.mT, upper=False).mT


def _expected(probability: Tensor, basis: Tensor) -> Posterior:
    """Mean and covariance of the polynomials in every frame."""
    probability = probability.double().cpu()
    mean = probability @ basis
    second = torch.einsum("ng,gi,gj->nij", probability, basis, basis)
    covariance = second - mean[:, :, None] * mean[:, None]
    return Posterior(mean, covariance, torch.zeros_like(covariance))


def _smoothed(variance: Tensor, latent: Tensor, places: Tensor) -> Tensor:
    """Average the variances of frames near every place."""
    width = _KERNEL * (latent.max() - latent.min()).clamp(min=1e-6)
    weights = (-0.5 * ((places[:, None] - latent) / width).square()).exp() + _LEAST_WEIGHT
    return (weights @ variance) / weights.sum(1)
