"""Poses along movies: what neighbouring frames say of a frame's pose, by rotational diffusion.

Frames have candidate poses, each with an evidence and a spread. A movie's path takes one of each
frame and has the log-probability ``Σ_t w_t + Σ_t log((1 − ε) K_τ(θ_t) + ε)``, θ_t the angle between
neighbours, ``τ = D Δt + κ (s² + s'²) / 2`` with the candidates' spreads
(:mod:`temporem.physics.rotational_diffusion`), and ε the probability of a jump, because the right
pose may not be among the candidates. The best path through every candidate takes one pass forwards
and one back (Viterbi).

Between the poses chosen, the random walk of rotation vectors is a Kalman filter: passed along the
movie from either end and left out at the frame itself, it is a Gaussian prior of that frame's pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from temporem.physics.rotational_diffusion import log_diffusion_density
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector, vector_of_rotation
from temporem.poses.refinement import RotationPrior

JUMP = 0.01
"""Probability that a frame has nothing to do with the one before."""


@dataclass(frozen=True)
class PoseChain:
    """Which of N frames follow one another, and how far molecules turn in between.

    Attributes:
        movies: rows of each, in order of time; together all N.
        tau: ``D Δt`` from the frame before, radians², ``(N,)``; that of first frames is not read.
        inflation: κ, by which errors of poses exceed their posterior variances
            (:mod:`temporem.poses.diffusion`).
    """

    movies: list[np.ndarray]
    tau: Tensor
    inflation: float = 1.0

    @cached_property
    def _rows(self) -> Tensor:
        """Row of frame t of every movie, −1 beyond its end: ``(T, M)``."""
        longest = max(map(len, self.movies))
        rows = torch.full((longest, len(self.movies)), -1)
        for m, movie in enumerate(self.movies):
            rows[: len(movie), m] = torch.from_numpy(movie)
        return rows

    def neighbours(self) -> Tensor:
        """The frame before and the frame after each one, itself where there is none: ``(2, N)``."""
        both = torch.arange(len(self.tau)).repeat(2, 1)
        for movie in self.movies:
            rows = torch.from_numpy(movie)
            both[0, rows[1:]], both[1, rows[:-1]] = rows[:-1], rows[1:]
        return both

    def best_paths(self, rotations: Tensor, variance: Tensor, weight: Tensor) -> Tensor:
        """Log-probability of the best path of its movie through every candidate: ``(N, K)``.

        Args:
            rotations: of the candidates, ``(N, K, 3, 3)``.
            variance: of them, radians² about each axis, ``(N, K)``.
            weight: their log-evidence, ``(N, K)``.
        """
        forward, backward = weight.clone(), torch.zeros_like(weight)
        pairs = list(self._pairs())
        links = [self._links(rotations, variance, *pair) for pair in pairs]
        for (before, after), link in zip(pairs, links, strict=True):
            forward[after] += (forward[before][:, :, None] + link).amax(1)
        for (before, after), link in reversed(list(zip(pairs, links, strict=True))):
            beyond = (weight + backward)[after]
            backward[before] = (link + beyond[:, None, :]).amax(2)
        return forward + backward

    def from_neighbours(self, rotations: Tensor, covariance: Tensor) -> RotationPrior:
        """Prior of every frame's pose from all other frames of its movie.

        A jump, where that is likelier than diffusion, ends what is passed on. The prior is for the
        likelihood of the frame as it is, which is too narrow by κ, and so is the posterior of both.

        Args:
            rotations: of frames, each by its own image alone, ``(N, 3, 3)``.
            covariance: of their rotation vectors, radians², ``(N, 3, 3)``.
        """
        variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
        steps = [
            _Step(before, after, self.tau[after], self._linked(rotations, variance, before, after))
            for before, after in self._pairs()
        ]
        own = RotationPrior(rotations, torch.linalg.inv(self.inflation * covariance))
        back = [_Step(s.taker, s.giver, s.tau, s.linked) for s in reversed(steps)]
        told = _combined(_passed(own, steps), _passed(own, back))
        return RotationPrior(told.mean, self.inflation * told.precision)

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Rows of frames t − 1 and t of all movies that are so long, t = 1, 2 …"""
        return [
            (before[after >= 0], after[after >= 0])
            for before, after in zip(self._rows[:-1], self._rows[1:], strict=True)
        ]

    def _links(self, rotations: Tensor, variance: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Log-probability of a transition from every candidate to every other, ``(B, K, K)``."""
        a, b = rotations[before][:, :, None], rotations[after][:, None]
        spread = 0.5 * self.inflation * (variance[before][:, :, None] + variance[after][:, None])
        angle = torch.deg2rad(geodesic_degrees(a, b))
        kernel = log_diffusion_density(angle, self.tau[after, None, None] + spread)
        constant = torch.tensor(JUMP, dtype=kernel.dtype)
        return torch.logaddexp(torch.log1p(-constant) + kernel, constant.log())

    def _linked(self, rotations: Tensor, variance: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """True where frames are more likely connected than apart, bool ``(B,)``."""
        link = self._links(rotations[:, None], variance, before, after)[:, 0, 0]
        return link > torch.tensor(2 * JUMP).log()


@dataclass(frozen=True)
class _Step:
    """Frames that are told something by their neighbours: rows, ``D Δt``, and whether they are."""

    giver: Tensor
    taker: Tensor
    tau: Tensor
    linked: Tensor


def _passed(own: RotationPrior, steps: list[_Step]) -> RotationPrior:
    """Prior of every frame from the frames on one side; precision 0 where there are none."""
    mean, precision = own.mean.clone(), torch.zeros_like(own.precision)
    for step in steps:
        known = _combined(
            RotationPrior(mean[step.giver], precision[step.giver]),
            RotationPrior(own.mean[step.giver], own.precision[step.giver]),
        )
        linked = step.linked[:, None, None]
        walk = torch.diag_embed(2 * step.tau[:, None].expand(-1, 3))
        told = torch.linalg.inv(torch.linalg.inv(known.precision) + walk)
        mean[step.taker] = torch.where(linked, known.mean, mean[step.taker])
        precision[step.taker] = told * linked
    return RotationPrior(mean, precision)


def _combined(a: RotationPrior, b: RotationPrior) -> RotationPrior:
    """The product of two Gaussians of a rotation."""
    precision = a.precision + b.precision
    apart = vector_of_rotation(b.mean @ a.mean.mT)[..., None]
    ridge = 1e-12 * torch.eye(3, dtype=precision.dtype)
    step = torch.linalg.solve(precision + ridge, b.precision @ apart)[..., 0]
    return RotationPrior(rotation_of_vector(step) @ a.mean, precision)
