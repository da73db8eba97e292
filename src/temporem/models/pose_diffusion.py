"""The rotational diffusion coefficient of molecules, from poses found frame by frame.

Poses of neighbouring frames, θ apart and found with variances s² and s'² about each axis, have
the density ``K_τ(θ)`` of :mod:`temporem.physics.rotational_diffusion`,
``τ = D Δt + (s² + s'²) / 2``, as errors of poses spread as diffusion does. A pose that was found
wrong may be anywhere:

``p(θ) = (1 − ε) K_τ(θ) + ε``   relative to poses without any connection.

D and ε have the greatest likelihood. Whether frames are connected at all is asked of movies that D
and ε were not fitted to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.physics.rotational_diffusion import log_diffusion_density
from temporem.physics.rotations import geodesic_degrees

_LEAST_TURN, _LARGEST_TURN = math.radians(0.05), math.radians(180)  # per axis, from frame to frame
_COARSE, _FINE, _ROUNDS = 40, 21, 2  # values of D tried, and how often around the best
_MIXING = 30  # iterations for ε
_FOLDS = 4
_STANDARD_ERRORS = 2.0  # by which held-out likelihood must rise


@dataclass(frozen=True)
class DiffusionFit:
    """D and what it is worth.

    Attributes:
        coefficient: D, radians² about each axis per unit of time.
        relative_error: standard error of ``log D``; infinite where the likelihood has no maximum.
        jumps: ε, the fraction of pairs of frames that are not connected.
        gain: log-likelihood of a pair of frames in movies held out over that of unconnected poses.
        gain_error: its standard error, over movies; infinite with a single movie.
    """

    coefficient: float
    relative_error: float
    jumps: float
    gain: float
    gain_error: float

    @property
    def useful(self) -> bool:
        """Whether held-out likelihood rises, by more than chance."""
        return self.gain > _STANDARD_ERRORS * self.gain_error


def fit_diffusion(
    rotations: Tensor, variance: Tensor, movies: list[np.ndarray], steps: np.ndarray
) -> DiffusionFit | None:
    """Fit D and ε to the poses of N frames; None without a movie of two frames.

    Args:
        rotations: each found from its own frame, ``(N, 3, 3)``.
        variance: of their errors, radians² about each axis, ``(N,)``.
        movies: rows of each, in order of time.
        steps: time between a frame and the one before, ``(N,)``; that of first frames is not read.
    """
    before = np.concatenate([movie[:-1] for movie in movies])
    after = np.concatenate([movie[1:] for movie in movies])
    if len(after) == 0:
        return None
    pairs = _Pairs(
        torch.deg2rad(geodesic_degrees(rotations[after], rotations[before])).double(),
        0.5 * (variance[after] + variance[before]).double(),
        torch.from_numpy(steps[after]).double(),
    )
    best = pairs.fit()
    movie = torch.repeat_interleave(
        torch.arange(len(movies)), torch.tensor([len(movie) - 1 for movie in movies])
    )
    fold = movie % _FOLDS
    held_out = torch.zeros(len(after), dtype=torch.float64)
    for number in fold.unique():
        mine = fold == number
        if mine.all():
            continue
        other = pairs.of(~mine).fit()
        held_out[mine] = pairs.of(mine).log_likelihood(other.coefficient, other.jumps)
    sums = torch.zeros(len(movies), dtype=torch.float64).index_add_(0, movie, held_out)
    sums = sums[movie.unique()]
    error = float(sums.std()) * len(sums) ** 0.5 / len(after) if len(sums) > 1 else math.inf
    return DiffusionFit(
        best.coefficient, best.relative_error, best.jumps, float(held_out.mean()), error
    )


@dataclass(frozen=True)
class _Best:
    coefficient: float
    jumps: float
    relative_error: float


@dataclass(frozen=True)
class _Pairs:
    """Of neighbouring frames: angle between their poses, their errors' part of τ, and Δt."""

    angle: Tensor
    spread: Tensor
    interval: Tensor

    def of(self, chosen: Tensor) -> _Pairs:
        return _Pairs(self.angle[chosen], self.spread[chosen], self.interval[chosen])

    def log_likelihood(self, coefficient: float, jumps: float) -> Tensor:
        tau = coefficient * self.interval + self.spread
        return _mixed(log_diffusion_density(self.angle, tau), torch.tensor(jumps).double())

    def fit(self) -> _Best:
        """On finer and finer grids of log D."""
        usual = self.interval.median()
        low, high = (float((0.5 * t**2 / usual).log()) for t in (_LEAST_TURN, _LARGEST_TURN))
        grid = torch.linspace(low, high, _COARSE, dtype=torch.float64)
        for _ in range(_ROUNDS):
            value, _ = self._profile(grid)
            best, step = grid[value.argmax()], grid[1] - grid[0]
            grid = torch.linspace(float(best - step), float(best + step), _FINE).double()
        value, jumps = self._profile(grid)
        at = int(value.argmax())
        apart = 4 * float(grid[1] - grid[0])  # a parabola through points clear of rounding
        sides, _ = self._profile(grid[at] + apart * torch.tensor([-1.0, 0, 1]).double())
        bend = float(2 * sides[1] - sides[0] - sides[2]) / apart**2
        error = 1 / math.sqrt(bend) if bend > 1e-9 else math.inf
        return _Best(math.exp(float(grid[at])), float(jumps[at]), error)

    def _profile(self, log_coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Greatest log-likelihood ``(G,)`` for each D, and the ε that it has."""
        tau = log_coefficients.exp()[:, None] * self.interval + self.spread
        kernel = log_diffusion_density(self.angle, tau)
        jumps = torch.full((len(tau), 1), 0.2, dtype=torch.float64)
        for _ in range(_MIXING):
            jumps = (jumps.log() - _mixed(kernel, jumps)).exp().mean(1, keepdim=True)
            jumps = jumps.clamp(1e-6, 1 - 1e-6)
        return _mixed(kernel, jumps).sum(1), jumps[:, 0]


def _mixed(log_kernel: Tensor, jumps: Tensor) -> Tensor:
    """``log((1 − ε) K + ε)``."""
    return torch.logaddexp(torch.log1p(-jumps) + log_kernel, jumps.log())
