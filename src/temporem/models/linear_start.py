"""How the linear model begins: at low resolution, from several random paths.

What moves, moves at low resolution, where noise is weak and an iteration takes a fraction of a
second. A bad start can fail outright, so that several are tried and the likeliest is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.models.dynamics import Dynamics
from temporem.models.linear import LinearParameters, LinearSolver, Posterior, Sums
from temporem.models.movie_blocks import MovieFrames
from temporem.models.padded_grid import PADDING, PaddedGrid
from temporem.physics.masks import window_ball

_RADIUS = 10  # cycles per box
_STARTS = 4
_TRIAL_ITERATIONS = 10
_ITERATIONS = 10
_CHOICE_STARTS = 1  # of a fit that only tells how many components there are


@dataclass(frozen=True)
class SpectralPrior:
    """Power of slices to be expected at integer radii, noise being 1.

    Attributes:
        mean: of the mean volume, ``(R,)``.
        change: of one component, ``(R,)``.
    """

    mean: Tensor
    change: Tensor

    def precision(self, grid: PaddedGrid, q: int) -> Tensor:
        """``1 / (8 τ²)`` per shell of the grid, ``(n_shells, q + 1)``.

        The padded grid holds every independent coefficient eight times over.
        """
        power = torch.stack([self.mean] + [self.change] * q, dim=1).to(grid.device)
        shells = torch.arange(grid.n_shells, device=grid.device).clamp(max=len(power) - 1)
        return 1 / (PADDING**3 * power[shells])


@dataclass(frozen=True)
class CoarseFit:
    """A linear model at low resolution, and the sums of its last iteration."""

    solver: LinearSolver
    parameters: LinearParameters
    sums: Sums


def fit_coarse(
    frames: MovieFrames,
    movies: list[np.ndarray],
    q: int,
    prior: SpectralPrior,
    *,
    temporal: bool,
    window_radius: float,
    seed: int,
    starts: int = _STARTS,
) -> CoarseFit:
    """The likeliest of several fits from random paths, iterated further.

    Args:
        frames: what is fitted.
        movies: the movies that may be looked at.
        q: components.
        prior: of the volumes.
        temporal: dynamics within movies; otherwise frames are independent.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: of the paths.
        starts: how many are tried.
    """
    solver = _coarse_solver(frames, window_radius)
    generator = torch.Generator().manual_seed(seed)
    trials = []
    for trial in range(starts):
        # Smooth paths are drawn to what all frames of a movie share, its defocus for one, so that
        # most starts know nothing of time.
        smooth = temporal and trial % 4 == 3
        path = _random_paths(len(frames), movies, q, generator, temporal=smooth)
        first = initial_parameters(solver, q, prior, temporal=temporal)
        sums = solver.gather(
            first, Posterior.of_points(path.to(frames.device)), frames.blocks(movies)
        )
        fit = CoarseFit(solver, first, sums)
        trials.append(_iterated(fit, frames, movies, _TRIAL_ITERATIONS))
    best = max(trials, key=lambda trial: trial.sums.objective)
    return _iterated(best, frames, movies, _ITERATIONS)


def choose_components(
    frames: MovieFrames,
    movies: list[np.ndarray],
    most: int,
    prior: SpectralPrior,
    *,
    temporal: bool,
    window_radius: float,
    seed: int,
) -> list[float]:
    """Log-likelihood per held-out frame of models with 1, 2 … ``most`` components, nats.

    Each is fitted at low resolution to all movies but every fourth, and scored on those.
    """
    held_out = movies[1::4]
    training = [movie for i, movie in enumerate(movies) if i % 4 != 1]
    scores = []
    for q in range(1, most + 1):
        fit = fit_coarse(
            frames,
            training,
            q,
            prior,
            temporal=temporal,
            window_radius=window_radius,
            seed=seed,
            starts=_CHOICE_STARTS,
        )
        scored = fit.solver.expect(fit.parameters, frames.blocks(held_out))
        scores.append(scored.log_likelihood / sum(map(len, held_out)))
    return scores


def initial_parameters(
    solver: LinearSolver, q: int, prior: SpectralPrior, *, temporal: bool
) -> LinearParameters:
    """No volumes yet, unit noise, dynamics that forget in about ten frames."""
    grid = solver.grid
    return LinearParameters(
        volumes=solver.empty_volumes(q),
        dynamics=Dynamics.initial(q, temporal=temporal, device=grid.device),
        noise=torch.ones(grid.n_shells, device=grid.device),
        precision=prior.precision(grid, q),
    )


def _coarse_solver(frames: MovieFrames, window_radius: float) -> LinearSolver:
    model = frames.forward_model
    radius = min(_RADIUS, model.box // 2 - 2)
    grid = PaddedGrid(2 * (radius + 2), radius, frames.device)
    mask = window_ball(grid.box, window_radius).to(frames.device)
    return LinearSolver(model, grid, mask, frames.intervals, len(frames))


def _iterated(
    fit: CoarseFit, frames: MovieFrames, movies: list[np.ndarray], iterations: int
) -> CoarseFit:
    solver, parameters, sums = fit.solver, fit.parameters, fit.sums
    for _ in range(iterations):
        if parameters.volumes.any():
            parameters, sums = solver.improve(parameters, sums, lambda: frames.blocks(movies))
        else:
            parameters = solver.update(parameters, sums)
            sums = solver.expect(parameters, frames.blocks(movies))
    return replace(fit, parameters=parameters, sums=sums)


def _random_paths(
    n: int, movies: list[np.ndarray], q: int, generator: torch.Generator, *, temporal: bool
) -> Tensor:
    """Random walks within movies, or independent draws; of unit variance, ``(N, q)`` float64."""
    paths = torch.zeros(n, q, dtype=torch.float64)
    for movie in movies:
        steps = torch.randn(len(movie), q, generator=generator, dtype=torch.float64)
        paths[movie] = steps.cumsum(0) if temporal else steps
    rows = torch.from_numpy(np.concatenate(movies))
    chosen = paths[rows]
    paths[rows] = (chosen - chosen.mean(0)) / chosen.std(0)
    return paths
