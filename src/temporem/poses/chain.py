"""Chains of poses along movies, with rotational diffusion as a prior.

Every frame has candidate poses, each with an evidence and a spread. A path takes one candidate of
each frame of a movie and has the log-probability
``Σ_t w_t + Σ_t log((1 − ε) K_τ(θ_t) + ε)``. Here w are log-evidences, θ_t is the angle between
neighbours, K the heat kernel of SO(3) (:mod:`temporem.physics.rotational_diffusion`) at
``τ = D Δt + κ (s² + s'²) / 2`` with the candidates' variances, and ε the probability of a jump,
because the right pose may not be among the candidates. One pass forwards and one back give the best
path through every candidate (max-product form of Viterbi 1967).

About the poses chosen, the rotation vectors are a Gaussian random walk. Kalman filters from either
end of the movie, combined as in two-filter smoothing (Fraser and Potter 1969) without the frame
itself, give a Gaussian prior of that frame's pose.
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
"""Probability that the pose of a frame does not depend on the frame before."""


@dataclass(frozen=True)
class PoseChain:
    """The order of N frames, and how far molecules turn between neighbours.

    Attributes:
        movies: rows of each movie, in order of time; together all N.
        tau: ``D Δt`` from the frame before, radians², ``(N,)``; not read for first frames.
        inflation: factor κ by which errors of poses exceed their posterior variances
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
        """Log-probability of the best path of the movie through every candidate: ``(N, K)``.

        Args:
            rotations: candidates, ``(N, K, 3, 3)``.
            variance: their variance about each axis, radians², ``(N, K)``.
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
        """Gaussian prior of every frame's pose, from all other frames of its movie.

        Information is not passed on where a jump is likelier than diffusion. The likelihood of a
        frame is too narrow by κ; the prior is scaled to it, so that the posterior of both is too
        narrow by κ as well.

        Args:
            rotations: poses by each frame's own image alone, ``(N, 3, 3)``.
            covariance: covariance of their rotation vectors, radians², ``(N, 3, 3)``.
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
        """Rows of frames t − 1 and t of all movies that are long enough, for t = 1, 2 …"""
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
        """True where diffusion from one frame to the next is likelier than a jump, ``(B,)``."""
        link = self._links(rotations[:, None], variance, before, after)[:, 0, 0]
        return link > torch.tensor(2 * JUMP).log()


@dataclass(frozen=True)
class _Step:
    """Rows of frames that pass information on and that take it, ``D Δt``, and true for links."""

    giver: Tensor
    taker: Tensor
    tau: Tensor
    linked: Tensor


def _passed(own: RotationPrior, steps: list[_Step]) -> RotationPrior:
    """Filter along a movie: the prior from frames on one side; precision 0 where there are none."""
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
