"""Predictions of two linear models at low resolution, each of the half that it has not seen.

Each half is cross-fitted on its own, its mean volume too. It then scores the movies of the other
half, which have not been seen: by how much are they likelier than if every frame showed the mean
volume of the model? Latents are integrated out, so none can gain by following noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.linear.cross_fit import coarse_solver, cross_fit, initial_parameters
from temporem.linear.dynamics import Dynamics, Transitions
from temporem.linear.information import latent_information
from temporem.linear.model import LinearParameters
from temporem.linear.smoother import smooth
from temporem.linear.solver import LinearSolver

LEAST_MOVIES = 6
"""Movies below which halves have too few for a fit of their own."""

_STEPS_PER_INTERVAL = 100  # finer differences of time are ignored
_SWEEPS = 5  # of the twelve of a fit that is kept; the gain then changes little


@dataclass(frozen=True, eq=False)
class UnseenMovies:
    """Information of M movies on the latents of a model that has not seen them.

    Attributes:
        information: J of every frame, 0 after the end of a movie, ``(M, T, q, q)``.
        score: h of every frame, ``(M, T, q)``.
        valid: true where a movie has a frame, ``(M, T)``.
        times: time of every frame, median interval 1, ``(M, T)``.
        dynamics: of the model's latents.
    """

    information: Tensor
    score: Tensor
    valid: Tensor
    times: Tensor
    dynamics: Dynamics

    @property
    def gains(self) -> Tensor:
        """Log-likelihood of each movie beyond that of the model's mean volume, nats ``(M,)``."""
        return smooth(self.information, self.score, self._transitions).log_evidence

    @property
    def latents(self) -> Tensor:
        """Posterior mean of every frame alone, without dynamics, ``(M, T, q)``."""
        one = torch.eye(self.dynamics.q, dtype=self.score.dtype)
        return torch.linalg.solve(self.information + one, self.score[..., None]).squeeze(-1)

    def shuffled_gains(self, orders: int, generator: torch.Generator) -> Tensor:
        """Gains with the frames of each movie at random places of it: ``(orders, M)``."""
        m, t = self.valid.shape
        keys = torch.rand(orders, m, t, generator=generator) + 2 * ~self.valid
        place = keys.argsort(-1).flatten(0, 1)  # frames that a movie does not have stay last
        q = self.dynamics.q
        score = self.score.repeat(orders, 1, 1)
        information = self.information.repeat(orders, 1, 1, 1).flatten(2)
        transitions = self._transitions
        found = smooth(
            information.gather(1, place[..., None].expand(-1, -1, q * q)).unflatten(-1, (q, q)),
            score.gather(1, place[..., None].expand(-1, -1, q)),
            Transitions(
                transitions.matrix.repeat(orders, 1, 1, 1),
                transitions.noise.repeat(orders, 1, 1, 1),
            ),
        )
        return found.log_evidence.unflatten(0, (orders, m))

    @property
    def _transitions(self) -> Transitions:
        steps = self.times.diff(dim=1).abs().mul(_STEPS_PER_INTERVAL).round()
        known, index = steps.unique(return_inverse=True)
        return self.dynamics.transitions(known / _STEPS_PER_INTERVAL)[index]


@dataclass(frozen=True, eq=False)
class HalfScores:
    """Two linear models of half of the movies each.

    Attributes:
        unseen: movies of each half, seen by the model of the other.
        parameters: the models.
        solver: solver at their resolution.
    """

    unseen: tuple[UnseenMovies, UnseenMovies]
    parameters: tuple[LinearParameters, LinearParameters]
    solver: LinearSolver

    @property
    def gains(self) -> Tensor:
        """Gains of the movies of the first half, then of the second, nats ``(M,)``."""
        return torch.cat([half.gains for half in self.unseen])

    @property
    def agreement(self) -> float:
        """Likeness of what changes in both models, from 0 to 1.

        It is ``tr(Σ Σ') / √(tr Σ² tr Σ'²)`` of the covariances of the volumes, ``Σ = Σ_j U_j U_jᵀ``
        (RV coefficient; Escoufier 1973). Strong components count most.
        """
        grid = self.solver.grid
        a, b = (grid.from_volumes(own.volumes[1:]) for own in self.parameters)

        def product(x: Tensor, y: Tensor) -> float:
            return float((x.mH @ (y * grid.multiplicity[:, None])).real.double().square().sum())

        return product(a, b) / max((product(a, a) * product(b, b)) ** 0.5, 1e-300)

    @property
    def noise(self) -> Tensor:
        """σ² of the residuals at integer radii, mean of both models, ``(n_shells,)``."""
        return (self.parameters[0].noise + self.parameters[1].noise) / 2


def score_halves(
    frames: Frames, components: int, *, window_radius: float, seed: int = 0
) -> HalfScores:
    """Fit each half of the training movies, and score the other half.

    Args:
        frames: frames in memory at low resolution, as :meth:`Frames.cropped` makes them. Every
            other of ``frames.training`` goes into the second half; :data:`LEAST_MOVIES` or more.
        components: number q of components.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: seed of the first latents; the result hardly depends on it.
    """
    solver = coarse_solver(frames, window_radius)
    first = initial_parameters(solver, components, frames.statistics.spectral_prior, temporal=True)
    halves = frames.training[0::2], frames.training[1::2]
    one, two = (cross_fit(solver, frames, half, first, seed, _SWEEPS) for half in halves)
    unseen = _see(solver, frames, two, halves[0]), _see(solver, frames, one, halves[1])
    return HalfScores(unseen, (one, two), solver)


def _see(
    solver: LinearSolver, frames: Frames, parameters: LinearParameters, movies: list[np.ndarray]
) -> UnseenMovies:
    """Measure what movies tell of the latents of a model."""
    grid, p, q = solver.grid, solver.n_pixels, parameters.q
    rows = grid.from_volumes(parameters.volumes)
    weights = solver.independent_share * solver.weights / parameters.noise[solver.shells]
    m, t = len(movies), max(map(len, movies))
    zeros = torch.zeros(m, t, dtype=torch.float64)
    information, score = zeros[..., None, None].repeat(1, 1, q, q), zeros[..., None].repeat(1, 1, q)
    valid, times = zeros.bool(), zeros.clone()
    done = 0
    for block in frames.blocks(movies, p):
        frequencies = frames.forward_model.slice_frequencies(block.rotations, slice(p))
        slices = grid.extract(rows, grid.corners(frequencies)).view(len(block.rows), p, -1)
        design = frames.forward_model.observe(slices, block.ctf[..., None])
        j, h, _ = latent_information(block.images - design[..., 0], design[..., 1:], weights)
        sizes = block.lengths.tolist()
        for own_j, own_h, own_times in zip(
            *(x.split(sizes) for x in (j, h, block.times)), strict=True
        ):
            n = len(own_h)
            information[done, :n], score[done, :n] = own_j.cpu(), own_h.cpu()
            valid[done, :n] = True
            times[done, :n] = own_times
            times[done, n:] = own_times[-1]
            done += 1
    return UnseenMovies(information, score, valid, times, parameters.dynamics)
