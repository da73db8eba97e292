"""What surrounds the linear model: half sets, masks, its volumes, predictions, blocks of movies."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.blobs import simulate_blobs
from temporem.frames import movie_blocks
from temporem.frames.frames import PreparedFrames, prepare_frames
from temporem.linear.cross_fit import initial_parameters
from temporem.linear.dynamics import Dynamics
from temporem.linear.half_sets import Halves, fit_halves, principal_axes
from temporem.linear.masks import moving_mask, solvent_mask
from temporem.linear.model import LinearParameters, Posterior
from temporem.linear.smoother import predict_between
from temporem.linear.solver import LinearSolver
from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import soft_ball
from temporem.physics.padded_grid import PaddedGrid
from temporem.runs.config import DataConfig
from temporem.volumes.linear_volumes import LinearVolumes

CPU = torch.device("cpu")
LENGTHS = (6, 5, 7, 6, 6, 4, 6, 5, 6, 6)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(q: int, seed: int = 0) -> Tensor:
    """An orthogonal matrix, float64."""
    return torch.linalg.qr(randn(q, q, seed=seed)).Q


def covariance(*shape: int, seed: int = 0) -> Tensor:
    root = randn(*shape, shape[-1], seed=seed)
    return root @ root.mT


# --- half sets ---


@pytest.fixture(scope="module")
def frames() -> PreparedFrames:
    dataset = simulate_blobs(LENGTHS, snr=3.0).dataset
    return prepare_frames(dataset, DataConfig(), None, dataset.movies, CPU)


@pytest.fixture(scope="module")
def solver(frames: PreparedFrames) -> LinearSolver:
    model = frames.forward_model
    grid = PaddedGrid(model.box, float(model.support.radii[-1]), CPU)
    mask = soft_ball(model.box, 3, 6, 1)
    return LinearSolver(model, grid, mask, frames.intervals, sum(LENGTHS))


@pytest.fixture(scope="module")
def latents() -> Tensor:
    """Of the blob on its arc, ``(N, 2)``, unit variance."""
    angles = simulate_blobs(LENGTHS, snr=3.0).angles
    z = torch.stack([angles.cos(), angles.sin()], dim=1)
    return (z - z.mean(0)) / z.std(0)


def halves_of(frames: PreparedFrames, solver: LinearSolver, z: Tensor) -> Halves:
    first = initial_parameters(solver, z.shape[1], frames.spectral_prior, temporal=False)
    data = frames.movie_frames
    return fit_halves(solver, first, Posterior.of_points(z), data, frames.movies)


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
    """Images of one half do not touch the coordinates of the other."""
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


def test_halves_in_other_coordinates_are_turned_onto_one_another(
    frames, solver, latents, halves
) -> None:
    """Coordinates of the second half turned and mirrored at the start: nothing is different."""
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
    first = initial_parameters(solver, 2, frames.spectral_prior, temporal=False)
    weights = torch.zeros_like(halves.precision)
    for half in (frames.movies[0::2], frames.movies[1::2]):
        blocks = frames.movie_frames.blocks
        own = solver.update(first, solver.gather(first, Posterior.of_points(latents), blocks(half)))
        normal = solver.expect(own, blocks(half)).normal
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
    data, given = frames.movie_frames, Posterior.of_points(latents)
    first = initial_parameters(solver, 2, frames.spectral_prior, temporal=False)
    assumed = replace(first, noise=factor * first.noise, precision=first.precision / factor)
    found = fit_halves(solver, assumed, given, data, frames.movies)
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
    # V(z) is the same volume in either coordinates.
    z = randn(4, seed=3)
    before = torch.einsum("j,jzyx->zyx", z.float(), maps[1:])
    after = torch.einsum("j,jzyx->zyx", (axes @ z).float(), turned)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4)


# --- masks ---


def blob(box: int, centre: tuple[float, float, float], width: float) -> Tensor:
    """A Gaussian; centre (x, y, z) and width in boxes, from the middle."""
    axis = (torch.arange(box) - box // 2) / box
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    squares = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    return torch.exp(-squares / (2 * width**2))


def moving(box: int, coarse: int = 24) -> tuple[Tensor, Tensor]:
    """The mask of a blob that comes and goes, and the blob, in a box."""
    where = (0.2, -0.1, 0.05)
    return moving_mask(blob(coarse, where, 0.06)[None], torch.eye(1), box), blob(box, where, 0.06)


@pytest.mark.parametrize("box", [16, 24, 32, 48])
def test_what_moves_is_in_the_mask_whatever_the_box(box) -> None:
    mask, density = moving(box)
    assert mask.shape == (box,) * 3
    assert mask.min() >= 0
    assert mask.max() == 1
    assert (mask[density > 0.5] == 1).all()
    assert (mask[density < 1e-4] < 0.5).all()
    # Of the same size, and soft.
    assert float(mask.mean()) == pytest.approx(float(moving(64)[0].mean()), rel=0.5)
    assert ((mask > 0) & (mask < 1)).any()


def test_only_what_moves_much_is_in_the_moving_mask() -> None:
    components = torch.stack([blob(24, (0.25, 0, 0), 0.05), blob(24, (-0.25, 0, 0), 0.05)])
    spread = torch.diag(torch.tensor([1.0, 0.01]))
    mask = moving_mask(components, spread, 24)
    assert mask[12, 12, 18] == 1
    assert mask[12, 12, 6] == 0
    both = moving_mask(components, torch.eye(2), 24)
    assert both[12, 12, 6] == both[12, 12, 18] == 1


def test_moving_mask_does_not_depend_on_the_coordinates() -> None:
    components = torch.stack([blob(24, (0.2, 0, 0), 0.05), blob(24, (-0.1, 0.2, 0), 0.07)])
    spread = covariance(2).float()
    turn = rotation(2).float()
    turned = torch.einsum("ij,jzyx->izyx", turn, components)
    found = moving_mask(turned, turn @ spread @ turn.mT, 24)
    torch.testing.assert_close(found, moving_mask(components, spread, 24), rtol=0, atol=1e-4)


def test_solvent_mask_contains_the_body_and_what_moves() -> None:
    mask_of_moving, _ = moving(32)
    body = blob(32, (-0.2, 0.1, 0.0), 0.08)
    mask = solvent_mask(body, mask_of_moving)
    assert (mask >= mask_of_moving).all()
    assert (mask[body > 0.5] == 1).all()
    assert mask.max() == 1
    assert mask[0, 0, 0] == 0
    assert float((mask > 0.5).float().mean()) < 0.3


# --- volumes ---


def test_volumes_are_the_mean_and_components_times_coordinates() -> None:
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


# --- frames that are missing ---


def dense_prediction(
    mean: Tensor, spread: Tensor, dynamics: Dynamics, first: float, second: float
) -> tuple[Tensor, Tensor]:
    """By the joint prior of (z, z₀, z₁), conditioned on both neighbours."""
    q = dynamics.q
    one = torch.eye(q, dtype=torch.float64)
    near = dynamics.transitions(torch.tensor([first, second]).double())
    a, b = near.matrix
    to_last = b @ (a @ a.mT + near.noise[0]) @ b.mT + near.noise[1]
    middle = a @ a.mT + near.noise[0]
    across = b @ a
    ends = torch.cat([torch.cat([one, across.mT], 1), torch.cat([across, to_last], 1)])
    cross = torch.cat([a, middle @ b.mT], 1)  # Cov(z, (z₀, z₁))
    gain = torch.linalg.solve(ends, cross.mT).mT
    left = middle - gain @ cross.mT
    return gain @ mean, left + gain @ spread @ gain.mT


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("parts", [(1.0, 1.0), (0.3, 2.5), (4.0, 1.0)])
def test_prediction_conditions_the_joint_gaussian(q, parts) -> None:
    square = randn(q, q, seed=q)
    dynamics = Dynamics(0.3 * (square - square.mT), 0.4 * randn(q, q, seed=9).tril(), temporal=True)
    mean, spread = randn(2, 2 * q, seed=4), covariance(2, 2 * q, seed=5)
    before, after = (dynamics.transitions(torch.full((2,), part)) for part in parts)
    found, found_spread = predict_between(mean, spread, before, after)
    for i in range(2):
        expected, expected_spread = dense_prediction(mean[i], spread[i], dynamics, *parts)
        torch.testing.assert_close(found[i], expected, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(found_spread[i], expected_spread, rtol=1e-6, atol=1e-8)


def test_prediction_far_from_all_frames_is_the_prior() -> None:
    dynamics = Dynamics.initial(2, temporal=True)
    mean, spread = randn(1, 4, seed=4), 0.01 * covariance(1, 4, seed=5)
    far = dynamics.transitions(torch.full((1,), 200.0))
    found, found_spread = predict_between(mean, spread, far, far)
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-5)
    one = torch.eye(2, dtype=torch.float64)[None]
    torch.testing.assert_close(found_spread, one, rtol=0, atol=1e-5)


# --- blocks of movies ---


@pytest.mark.parametrize("per_block", [1, 6, 13, 1000])
def test_blocks_hold_whole_movies_and_every_row_once(frames, per_block, monkeypatch) -> None:
    monkeypatch.setattr(
        movie_blocks, "_SAMPLES_PER_BLOCK", per_block * len(frames.forward_model.support)
    )
    data, movies = frames.movie_frames, frames.movies[::-1]
    blocks = list(data.blocks(movies))
    found = []
    for block in blocks:
        bounds = [0, *block.lengths.cumsum(0).tolist()]
        found += [block.rows[a:b].tolist() for a, b in pairwise(bounds)]
        assert len(block.rows) <= max(per_block, int(block.lengths.max()))
        assert block.images.equal(data.source.images[block.rows])
        assert block.ctf.equal(data.source.ctf[block.rows])
        assert block.rotations.equal(data.rotations[block.rows])
        assert block.interval_index.equal(data.interval_index[block.rows])
    assert found == [movie.tolist() for movie in movies]
    for block, following in pairwise(blocks):
        assert len(block.rows) + int(following.lengths[0]) > per_block
    assert list(data.blocks([])) == []


def test_a_prior_of_the_model_is_in_units_of_the_padded_grid(frames, solver) -> None:
    """Precision is 1 / (8 power), and the last shell's goes on beyond what was measured."""
    found: LinearParameters = initial_parameters(solver, 2, frames.spectral_prior, temporal=True)
    power = frames.change_power
    torch.testing.assert_close(found.precision[: len(power), 1], 1 / (8 * power))
    assert found.precision[:, 1].equal(found.precision[:, 2])
    assert (found.precision[:, 0] < found.precision[:, 1]).all()
    assert found.volumes.shape == (3, 16, 16, 16)
    assert not found.volumes.any()
