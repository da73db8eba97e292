"""Linear models of half of the movies each, and the prior that their agreement gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.blobs import simulate_blobs
from helpers.matrices import randn, rotation
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.linear.cross_fit import initial_parameters
from temporem.linear.half_sets import Halves, fit_halves, principal_axes
from temporem.linear.model import Posterior
from temporem.linear.solver import LinearSolver
from temporem.physics.masks import soft_ball
from temporem.physics.padded_grid import PaddedGrid

CPU = torch.device("cpu")
LENGTHS = (6, 5, 7, 6, 6, 4, 6, 5, 6, 6)


@pytest.fixture(scope="module")
def frames() -> Frames:
    dataset = simulate_blobs(LENGTHS, snr=3.0).dataset
    return prepare_frames(dataset, DataSettings(), dataset.movies, CPU)


@pytest.fixture(scope="module")
def solver(frames: Frames) -> LinearSolver:
    model = frames.forward_model
    grid = PaddedGrid(model.box, float(model.support.radii[-1]), CPU)
    mask = soft_ball(model.box, 3, 6, 1)
    return LinearSolver(model, grid, mask, frames.intervals, sum(LENGTHS))


@pytest.fixture(scope="module")
def latents() -> Tensor:
    """Position of the blob on its arc, ``(N, 2)``, unit variance."""
    angles = simulate_blobs(LENGTHS, snr=3.0).angles
    z = torch.stack([angles.cos(), angles.sin()], dim=1)
    return (z - z.mean(0)) / z.std(0)


def halves_of(frames: Frames, solver: LinearSolver, z: Tensor) -> Halves:
    first = initial_parameters(solver, z.shape[1], frames.statistics.spectral_prior, temporal=False)
    return fit_halves(solver, first, Posterior.of_points(z), frames, frames.movies)


@pytest.fixture(scope="module")
def halves(frames, solver, latents) -> Halves:
    return halves_of(frames, solver, latents)


def test_halves_agree_where_there_is_signal(halves, solver) -> None:
    shape = (solver.grid.n_shells, 3)
    assert halves.fsc.shape == halves.precision.shape == shape
    assert halves.fsc.abs().max() <= 1 + 1e-5
    assert (halves.fsc[:4, 0] > 0.9).all()
    assert (halves.fsc[1:3, 1] > 0.7).all()


def test_every_frame_gets_its_posterior_from_its_own_half(frames, solver, latents) -> None:
    """Images of one half do not touch the latents of the other."""
    before = halves_of(frames, solver, latents)
    odd = np.concatenate(frames.movies[1::2])
    images = frames.source.images.clone()
    images[odd] = images[odd].flip(0)
    spoilt = replace(frames, source=replace(frames.source, images=images))
    after = halves_of(spoilt, solver, latents)
    even = np.concatenate(frames.movies[0::2])
    assert after.posterior.mean[even].equal(before.posterior.mean[even])
    assert after.volumes[0].equal(before.volumes[0])
    assert not torch.allclose(after.posterior.mean[odd], before.posterior.mean[odd], atol=0.1)


def test_halves_in_other_axes_are_turned_onto_one_another(frames, solver, latents, halves) -> None:
    """Latents of the second half turned and mirrored at the start: nothing is different."""
    odd = np.concatenate(frames.movies[1::2])
    turned = latents.clone()
    turned[odd] = turned[odd] @ (torch.tensor([1.0, -1.0]).double() * rotation(2)).mT
    found = halves_of(frames, solver, turned)
    scale = float(halves.volumes.abs().max())
    torch.testing.assert_close(found.volumes, halves.volumes, rtol=0, atol=1e-3 * scale)
    torch.testing.assert_close(found.fsc, halves.fsc, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.posterior.mean, halves.posterior.mean, rtol=0, atol=1e-2)
    torch.testing.assert_close(
        found.posterior.covariance, halves.posterior.covariance, rtol=0, atol=1e-2
    )


def test_prior_trusts_what_halves_share_and_less_at_higher_resolution(
    frames, solver, latents, halves
) -> None:
    first = initial_parameters(solver, 2, frames.statistics.spectral_prior, temporal=False)
    weights = torch.zeros_like(halves.precision)
    for half in (frames.movies[0::2], frames.movies[1::2]):
        sums = solver.gather(first, Posterior.of_points(latents), frames.blocks(half))
        normal = solver.expect(solver.update(first, sums), frames.blocks(half)).normal
        diagonal = [0, 3, 5]  # of three channels, in the order of pairs
        weights += solver.grid.shell_means(normal[:, diagonal])
    weights /= halves.noise[:, None]  # made with unit noise
    ratio = weights / halves.precision  # F / (1 - F), twice
    used = (ratio / (2 + ratio))[weights > 0].reshape(-1, 3)
    assert (used > 0).all()
    assert (used < 1).all()
    assert (used[1:] <= used[:-1] + 1e-5).all()
    assert (used[:4, 0] > 0.9).all()


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_prior_and_noise_are_those_of_the_data_whatever_is_assumed(
    frames, solver, latents, halves, factor
) -> None:
    """Where noise is assumed to be four times as strong or weak, only posteriors change them."""
    first = initial_parameters(solver, 2, frames.statistics.spectral_prior, temporal=False)
    assumed = replace(first, noise=factor * first.noise, precision=first.precision / factor)
    found = fit_halves(solver, assumed, Posterior.of_points(latents), frames, frames.movies)
    low = slice(1, 6)
    torch.testing.assert_close(found.noise[low], halves.noise[low], rtol=0.3, atol=0)
    assert (found.precision[low] / halves.precision[low]).log().abs().max() < np.log(1.6)


def test_principal_axes_are_orthogonal_and_diagonalise(solver) -> None:
    maps = randn(5, 16, 16, 16, seed=2).float() * soft_ball(16, 3, 5, 2)
    maps[2:] += torch.tensor([2.0, 0.5, 1.0])[:, None, None, None] * maps[1]
    axes = principal_axes(solver, maps)
    one = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(axes @ axes.mT, one, rtol=0, atol=1e-10)
    turned = torch.einsum("ij,jzyx->izyx", axes.float(), maps[1:])
    rows = solver.grid.from_volumes(turned)
    gram = (rows.mH @ (rows * solver.grid.multiplicity[:, None])).real
    power = gram.diagonal()
    assert (power[1:] <= power[:-1]).all()
    off = gram - torch.diag(power)
    assert off.abs().max() < 1e-4 * power.max()
    # V(z) is the same volume in both axes.
    z = randn(4, seed=3)
    before = torch.einsum("j,jzyx->zyx", z.float(), maps[1:])
    after = torch.einsum("j,jzyx->zyx", (axes @ z).float(), turned)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4)


def test_a_prior_of_the_model_is_in_units_of_the_padded_grid(frames, solver) -> None:
    """Precision is 1 / (8 power), and the last shell's goes on beyond what was measured."""
    found = initial_parameters(solver, 2, frames.statistics.spectral_prior, temporal=True)
    power = frames.statistics.spectral_prior.change
    torch.testing.assert_close(found.precision[: len(power), 1], 1 / (8 * power))
    assert found.precision[:, 1].equal(found.precision[:, 2])
    assert (found.precision[:, 0] < found.precision[:, 1]).all()
    assert found.volumes.shape == (3, 16, 16, 16)
    assert not found.volumes.any()
