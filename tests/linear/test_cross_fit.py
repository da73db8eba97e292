"""The start of the linear model: latents of movies from volumes of other movies."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.blobs import BlobMovies, simulate_blobs
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.linear.cross_fit import CrossFit, fit_coarse, initial_parameters
from temporem.linear.model import LinearParameters, Posterior
from temporem.linear.solver import LinearSolver
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import PaddedGrid

CPU = torch.device("cpu")
WINDOW = 0.85


def prepared(movies: BlobMovies) -> Frames:
    return prepare_frames(movies.dataset, DataSettings(), movies.dataset.movies, CPU)


@pytest.fixture(scope="module")
def noisy() -> BlobMovies:
    """A motion that is hard to see: half a tenth of the power of images is signal."""
    return simulate_blobs([8] * 32, snr=0.05)


@pytest.fixture(scope="module")
def frames(noisy: BlobMovies) -> Frames:
    return prepared(noisy)


def coarse(frames: Frames, candidates: list[int], seed: int = 0, **options: bool):
    return fit_coarse(
        frames,
        frames.movies,
        candidates,
        frames.statistics.spectral_prior,
        temporal=options.get("temporal", True),
        window_radius=WINDOW,
        seed=seed,
    )


def cross_fit(frames: Frames, q: int, seed: int = 0) -> CrossFit:
    model = frames.forward_model
    grid = PaddedGrid(model.box, float(model.support.radii[-1]), CPU)
    solver = LinearSolver(
        model, grid, window_ball(model.box, WINDOW), frames.intervals, len(frames)
    )
    first = initial_parameters(solver, q, frames.statistics.spectral_prior, temporal=True)
    return CrossFit(solver, frames, frames.movies, first, seed)


def explained(latents: Tensor, target: Tensor) -> float:
    """R² of a linear regression."""
    x = torch.nn.functional.pad(latents, (1, 0), value=1.0)
    left = target - x @ torch.linalg.lstsq(x, target[:, None]).solution[:, 0]
    return float(1 - left.square().sum() / (target - target.mean()).square().sum())


@pytest.mark.integration
@pytest.mark.parametrize("seed", [0, 1])
def test_a_hidden_motion_is_found_from_any_draw(noisy, frames, seed) -> None:
    mean = coarse(frames, [2], seed).sums.posterior.mean
    assert explained(mean, noisy.angles.cos()) > 0.6


@pytest.mark.integration
def test_latents_span_the_same_space_whatever_the_draw(frames) -> None:
    fits = [cross_fit(frames, 1, seed) for seed in (0, 1)]
    for fit in fits:
        for _ in range(20):
            fit.sweep(learn=True)
    one, other = (fit.latents[:, 0] for fit in fits)
    assert abs(np.corrcoef(one, other)[0, 1]) > 0.98


def test_latents_are_white(frames) -> None:
    fit = cross_fit(frames, 2)
    fit.sweep(learn=False)
    z = fit.latents
    torch.testing.assert_close(z.mean(0), torch.zeros(2).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(z.mT @ z / len(z), torch.eye(2).double(), rtol=0, atol=1e-6)


def test_volumes_of_a_fold_hold_nothing_of_its_own_images(frames, monkeypatch) -> None:
    seen: list[Tensor] = []
    plain = LinearSolver.expect

    def watched(self: LinearSolver, parameters: LinearParameters, blocks, **options: bool):
        seen.append(parameters.volumes)
        return plain(self, parameters, blocks, **options)

    monkeypatch.setattr(LinearSolver, "expect", watched)
    fit = cross_fit(frames, 1)
    start, first_fold = fit.latents, fit.folds[0]
    seen.clear()
    fit.sweep(learn=False)
    before = list(seen)
    images = frames.source.images.clone()
    images[np.concatenate(first_fold)] *= -1
    fit.frames = replace(fit.frames, source=replace(frames.source, images=images))
    fit.latents = start
    seen.clear()
    fit.sweep(learn=False)
    scale = float(before[0].abs().max())
    torch.testing.assert_close(seen[0], before[0], rtol=0, atol=1e-4 * scale)
    for mine, theirs in zip(seen[1:], before[1:], strict=True):
        assert (mine - theirs).abs().max() > 0.1 * scale


def test_every_frame_is_in_one_fold(frames) -> None:
    rows = [row for fold in cross_fit(frames, 1).folds for movie in fold for row in movie]
    assert sorted(rows) == list(range(len(frames)))


@pytest.mark.integration
def test_nothing_is_learned_from_noise(noisy) -> None:
    """Movies that were held out are no likelier than without any volumes."""
    data = noisy.dataset
    noise = np.random.default_rng(0).standard_normal(data.images.shape).astype(np.float32)
    frames = prepared(replace(noisy, dataset=replace(data, images=noise)))
    fit = coarse(frames, [1, 2])
    none = replace(fit.parameters, volumes=torch.zeros_like(fit.parameters.volumes))
    none = replace(none, noise=torch.ones_like(none.noise))
    held_out = frames.movies[1::4]
    blocks = frames.blocks(held_out)
    least = fit.solver.infer(none, blocks).log_likelihood / sum(map(len, held_out))
    assert max(fit.scores) < least + 0.1


@pytest.mark.integration
def test_number_of_components_is_what_makes_unseen_movies_likeliest() -> None:
    """One does not describe an arc."""
    fit = coarse(prepared(simulate_blobs([8] * 24, snr=1.0)), [1, 2])
    assert fit.parameters.q == 2
    assert fit.scores[1] > fit.scores[0] + 0.1


@pytest.mark.integration
@pytest.mark.parametrize("n", [2, 3])
def test_few_movies_leave_no_choice(n) -> None:
    fit = coarse(prepared(simulate_blobs([6] * n, snr=3.0)), [2, 1])
    assert (fit.parameters.q, fit.scores) == (2, [])
    assert fit.sums.posterior.mean.isfinite().all()


@pytest.mark.integration
def test_frames_are_apart_without_dynamics(frames) -> None:
    """The order of frames within movies does not matter then."""
    shuffled = [np.random.default_rng(i).permutation(m) for i, m in enumerate(frames.movies)]
    one, other = (
        coarse(replace(frames, movies=movies, training=movies), [1], temporal=False)
        for movies in (frames.movies, shuffled)
    )
    one, other = (fit.sums.posterior.mean[:, 0] for fit in (one, other))
    assert abs(np.corrcoef(one, other)[0, 1]) > 0.999


# --- sums of sets of movies ---


def test_sums_of_two_sets_are_those_of_both(frames) -> None:
    fit = cross_fit(frames, 2)
    parameters, solver, data = fit.volumes(), fit.solver, fit.frames
    movies = frames.movies
    both = solver.expect(parameters, data.blocks(movies))
    one, other = (solver.expect(parameters, data.blocks(half)) for half in (movies[:9], movies[9:]))
    found = one + other
    assert found.log_likelihood == pytest.approx(both.log_likelihood, rel=1e-6)
    torch.testing.assert_close(found.moments.pairs, both.moments.pairs, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.moments.counts, both.moments.counts)
    torch.testing.assert_close(found.residual_power, both.residual_power, rtol=1e-5, atol=1e-3)
    scale = float(both.voxels.abs().max())
    torch.testing.assert_close(found.voxels, both.voxels, rtol=0, atol=1e-4 * scale)
    for name in vars(Posterior.of_points(torch.zeros(1, 1))):
        torch.testing.assert_close(
            getattr(found.posterior, name), getattr(both.posterior, name), rtol=1e-4, atol=1e-4
        )


def test_a_pass_without_gradient_gives_the_same_posteriors(frames) -> None:
    fit = cross_fit(frames, 2)
    parameters = fit.volumes()
    with_gradient, without = (
        fit.solver.expect(parameters, fit.frames.blocks(frames.movies), gradient=gradient)
        for gradient in (True, False)
    )
    assert without.posterior.mean.equal(with_gradient.posterior.mean)
    assert without.residual_power.equal(with_gradient.residual_power)
    assert without.log_likelihood == with_gradient.log_likelihood
    assert not without.voxels.any()
    assert with_gradient.voxels.any()
