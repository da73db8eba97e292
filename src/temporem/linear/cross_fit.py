"""The first step of the linear model: a fit at low resolution, cross-fitted between movies.

Motion shows at low resolution, where noise is weak and a pass takes a fraction of a second.
Expectation–maximisation of latents and volumes on the same frames can be trapped: latents that
follow the noise of a movie give volumes with this noise, and these confirm the latents. Here, the
movies are split into folds, and the latents of a fold come from volumes of all other folds, which
do not contain its noise. Sweeps over the folds are a power iteration on the covariance between
movies, so they reach the same result from any start.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.frames.statistics import SpectralPrior
from temporem.linear.dynamics import Dynamics
from temporem.linear.model import LinearParameters, Posterior, Sums
from temporem.linear.solver import LinearSolver
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import PaddedGrid

_RADIUS = 10  # cycles per box
_FOLDS = 4
_SWEEPS = 12
_LEAST_TO_CHOOSE = 4  # movies
_ITERATIONS = 25  # with all movies together, once the cross-fit has found the motion
_LEARN_AFTER = 2  # sweeps; earlier latents carry little information on dynamics and noise
_LEAST_SPREAD = 1e-12


@dataclass(frozen=True)
class CoarseFit:
    """A linear model at low resolution.

    Attributes:
        solver: solver at its resolution.
        frames: the frames it was fitted to, low-passed and in memory.
        parameters: the estimates.
        sums: sums of the last iteration.
        scores: log-likelihood per held-out frame for each number of components, nats; empty
            without a choice.
    """

    solver: LinearSolver
    frames: Frames
    parameters: LinearParameters
    sums: Sums
    scores: list[float]


def fit_coarse(
    frames: Frames,
    movies: list[np.ndarray],
    candidates: Sequence[int],
    prior: SpectralPrior,
    *,
    temporal: bool,
    window_radius: float,
    seed: int,
) -> CoarseFit:
    """Fit the model at low resolution, with the number of components that held-out movies prefer.

    Every fourth movie is held out. The largest number is chosen that makes these movies likelier
    than the smallest does. Then all movies are cross-fitted, and iterated together.

    Args:
        frames: the frames to fit.
        movies: rows of the movies that the fit may use, two or more.
        candidates: numbers of components to choose from.
        prior: expected power of the volumes.
        temporal: dynamics within movies; without, frames are independent.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: seed of the first latents; the result hardly depends on it.
    """
    solver = coarse_solver(frames, window_radius)
    frames = frames.low_pass(movies, solver.n_pixels)

    def first(q: int) -> LinearParameters:
        return initial_parameters(solver, q, prior, temporal=temporal)

    scores = []
    q = candidates[0]
    if len(candidates) > 1 and len(movies) >= _LEAST_TO_CHOOSE:
        held_out, training = movies[1::4], [m for i, m in enumerate(movies) if i % 4 != 1]
        for candidate in candidates:
            parameters = cross_fit(solver, frames, training, first(candidate), seed)
            sums = solver.infer(parameters, frames.blocks(held_out))
            scores.append(sums.log_likelihood / sum(map(len, held_out)))
        # At low resolution further components look worse than they are: at full resolution a prior
        # from half sets makes them sharper. So all are taken that beat the first on its own.
        q = max(c for c, score in zip(candidates, scores, strict=True) if score >= scores[0])
    parameters = cross_fit(solver, frames, movies, first(q), seed)
    sums = solver.expect(parameters, frames.blocks(movies))
    for _ in range(_ITERATIONS):
        before = parameters
        parameters, sums = solver.improve(before, sums, lambda: frames.blocks(movies))
        if parameters is before:  # refused; the next step would be the same
            break
    return CoarseFit(solver, frames, parameters, sums, scores)


def coarse_samples(frames: Frames, n_candidates: int) -> tuple[int, int]:
    """Count the Fourier pixels that :func:`fit_coarse` and a fit of both halves pass, at most.

    Args:
        frames: the frames to fit.
        n_candidates: numbers of components to choose from.
    """
    solver = coarse_solver(frames, 1.0)
    n, few = sum(map(len, frames.training)), len(frames.training) < _LEAST_TO_CHOOSE
    cross_fit_passes = 2 + 2 * _SWEEPS + 1
    passes = float(1 + cross_fit_passes + 1 + _ITERATIONS)
    if n_candidates > 1 and not few:
        passes += n_candidates * (3 * cross_fit_passes + 1) / 4
    one_pass = n * solver.n_pixels
    return round(passes * one_pass), cross_fit_passes * one_pass


def cross_fit(
    solver: LinearSolver,
    frames: Frames,
    movies: list[np.ndarray],
    parameters: LinearParameters,
    seed: int,
    sweeps: int = _SWEEPS,
) -> LinearParameters:
    """Estimate volumes, noise and dynamics of some movies by cross-fitting.

    Args:
        solver: solver at low resolution.
        frames: the frames to fit.
        movies: rows of the movies, two or more.
        parameters: first noise, prior and dynamics; volumes are not used.
        seed: seed of the first latents.
        sweeps: sweeps over the folds.
    """
    fit = CrossFit(solver, frames, movies, parameters, seed)
    for i in range(sweeps):
        fit.sweep(learn=i >= _LEARN_AFTER)
    return fit.volumes()


class CrossFit:
    """Latents of every fold of the movies, from volumes of the other folds.

    Attributes:
        parameters: noise, prior and dynamics; every fold has volumes of its own.
        latents: latents of all frames, centred and white: ``(N, q)``.
    """

    def __init__(
        self,
        solver: LinearSolver,
        frames: Frames,
        movies: list[np.ndarray],
        parameters: LinearParameters,
        seed: int,
    ) -> None:
        self.solver = solver
        self.frames = frames
        self.movies = movies
        self.parameters = parameters
        n = min(_FOLDS, len(movies))
        self.folds = [movies[k::n] for k in range(n)]
        self.latents = self._first_latents(movies[0::2], movies[1::2], seed)

    def sweep(self, *, learn: bool) -> None:
        """Infer new latents of all frames and, if asked for, learn noise and dynamics."""
        gathered = [self._gather(self.latents, fold) for fold in self.folds]
        total = sum_of(gathered)
        found = sum_of(
            self._infer(replace(total, voxels=total.voxels - own.voxels), fold)
            for own, fold in zip(gathered, self.folds, strict=True)
        )
        self.latents = self._white(found.posterior, self.movies)
        if learn:
            self._learn(found)

    def volumes(self) -> LinearParameters:
        """The parameters, with volumes from all movies."""
        return self._solved(self._gather(self.latents, self.movies))

    def _first_latents(self, one: list[np.ndarray], other: list[np.ndarray], seed: int) -> Tensor:
        """Latents of all frames in common axes.

        Random latents of one half of the movies give volumes. These give the latents of the other
        half, which in turn give those of the first half.
        """
        generator = torch.Generator().manual_seed(seed)
        rows = self._rows(one)  # movie by movie: the order of rows in a file does not matter
        q = self.parameters.q
        draws = torch.randn(len(rows), q, generator=generator, dtype=torch.float64)
        random = draws.new_zeros(len(self.frames), q)
        random[rows] = draws
        theirs = self._white(self._infer(self._gather(random, one), other).posterior, other)
        ours = self._white(self._infer(self._gather(theirs, other), one).posterior, one)
        return ours + theirs

    def _gather(self, latents: Tensor, movies: list[np.ndarray]) -> Sums:
        points = Posterior.of_points(latents)
        return self.solver.gather(self.parameters, points, self.frames.blocks(movies))

    def _infer(self, sums: Sums, movies: list[np.ndarray]) -> Sums:
        """Posteriors of movies under volumes that solve the sums of other movies."""
        return self.solver.expect(self._solved(sums), self.frames.blocks(movies), gradient=False)

    def _solved(self, sums: Sums) -> LinearParameters:
        return replace(self.parameters, volumes=self.solver.step(self.parameters, sums))

    def _learn(self, found: Sums) -> None:
        rows = self._rows(self.movies)
        own = found.posterior[rows]
        second = (own.mean.mT @ own.mean + own.covariance.sum(0)) / len(rows)
        # Latents have second moments of 1 in the model; their scale goes into the volumes.
        moments = found.moments.transformed(_inverse_root(second))
        self.parameters = replace(
            self.parameters,
            noise=found.noise_or(self.parameters.noise),
            dynamics=self.parameters.dynamics.maximise(moments),
        )

    def _white(self, posterior: Posterior, movies: list[np.ndarray]) -> Tensor:
        """Posterior means of some movies, centred and white; those of other movies are 0."""
        rows = self._rows(movies)
        centred = posterior.mean[rows] - posterior.mean[rows].mean(0)
        white = torch.zeros_like(posterior.mean)
        white[rows] = centred @ _inverse_root(centred.mT @ centred / len(rows))
        return white

    def _rows(self, movies: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate(movies))


def sum_of(sums: Iterable[Sums]) -> Sums:
    """Add up the sums of sets of movies that have no movie in common."""
    return reduce(operator.add, sums)


def _inverse_root(square: Tensor) -> Tensor:
    """``M^(−1/2)`` of a symmetric, positive semi-definite M."""
    values, vectors = torch.linalg.eigh(square)
    return vectors @ torch.diag(values.clamp(min=_LEAST_SPREAD).rsqrt()) @ vectors.mT


def initial_parameters(
    solver: LinearSolver, q: int, prior: SpectralPrior, *, temporal: bool
) -> LinearParameters:
    """Parameters before the first step: volumes 0, unit noise, memory of about ten frames."""
    grid = solver.grid
    return LinearParameters(
        volumes=solver.empty_volumes(q),
        dynamics=Dynamics.initial(q, temporal=temporal),
        noise=torch.ones(grid.n_shells, device=grid.device),
        precision=prior.precision(grid, q),
    )


def coarse_solver(frames: Frames, window_radius: float) -> LinearSolver:
    """Make the solver of frames at low resolution, with volumes inside a ball."""
    model = frames.forward_model
    radius = min(_RADIUS, model.box // 2 - 2)
    grid = PaddedGrid(2 * (radius + 2), radius, frames.device)
    mask = window_ball(grid.box, window_radius).to(frames.device)
    return LinearSolver.of_frames(frames, grid, mask)
