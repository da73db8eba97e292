"""The rotational diffusion coefficient of molecules, from poses found frame by frame.

Poses of two frames of a movie, at a time Δt and an angle θ from one another and found with
variances s² and s'² about each axis, have the density ``K_τ(θ)``, the heat kernel of SO(3)
(:mod:`temporem.physics.rotational_diffusion`), with

``τ = D Δt + κ (s² + s'²) / 2``,

because errors of poses spread as diffusion does. Posteriors do not include errors of the volume and
are too narrow, by κ. Frames one, two and three steps apart tell D, whose term grows with time, from
κ, whose term does not. A pose that was found wrong may be anywhere:

``p(θ) = (1 − ε) K_τ(θ) + ε``   relative to poses without any connection.

D, κ and ε maximise the likelihood of all such pairs of frames together. Neighbours in held-out
movies show whether frames are connected at all, and folds left out in turn give the error of D
(jackknife, Tukey 1958).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from temporem.physics.rotational_diffusion import log_diffusion_density
from temporem.physics.rotations import geodesic_degrees

_LAGS = (1, 2, 3)
_FIRST_TURNS = (2, 15)  # degrees about each axis and step, to start from
_LEAST_TURN, _LARGEST_TURN = math.radians(0.02), math.radians(180)
_INFLATION = (0.5, 100.0)  # bounds of κ
_FOLDS = 8
_MOST_PAIRS = 2000  # for each lag; movies beyond are left out
_STEPS = 150  # steps of the simplex (Nelder and Mead 1965)
_STANDARD_ERRORS = 2.0  # by which held-out likelihood must rise


@dataclass(frozen=True)
class DiffusionFit:
    """The diffusion coefficient and how well it is known.

    Attributes:
        coefficient: D, radians² about each axis per unit of time.
        relative_error: standard error of ``log D``; infinite with a single movie.
        inflation: factor κ by which errors of poses exceed their posterior variance.
        jumps: fraction ε of pairs of frames that are not connected.
        gain: log-likelihood of a pair of neighbours in held-out movies, above that of poses that
            are not connected.
        gain_error: standard error of the gain, over movies; infinite with a single movie.
    """

    coefficient: float
    relative_error: float
    inflation: float
    jumps: float
    gain: float
    gain_error: float

    @property
    def useful(self) -> bool:
        """The likelihood of held-out movies rises, by more than chance."""
        return self.gain > _STANDARD_ERRORS * self.gain_error


def fit_diffusion(
    rotations: Tensor, variance: Tensor, movies: list[np.ndarray], steps: np.ndarray
) -> DiffusionFit | None:
    """Fit D, κ and ε to the poses of N frames; None without a movie of two frames.

    Args:
        rotations: poses, each found from its own frame, ``(N, 3, 3)``.
        variance: their posterior variance about each axis, radians², ``(N,)``.
        movies: rows of each movie, in order of time.
        steps: time from the frame before to each frame, ``(N,)``; not read for first frames.
    """
    pairs = _Pairs.of_movies(rotations, variance, movies, steps)
    if len(pairs.angle) == 0:
        return None
    starts = (math.log(0.5 * math.radians(t) ** 2 / pairs.usual_interval) for t in _FIRST_TURNS)
    best = min((pairs.fit(_Parameters(d, 0.0, 0.0)) for d in starts), key=lambda f: f[1])[0]
    members = pairs.movie.unique()
    fold = torch.searchsorted(members, pairs.movie) % _FOLDS
    neighbours = pairs.lag == 1
    gain, others = torch.zeros(len(pairs.angle), dtype=torch.float64), []
    for number in fold.unique() if len(members) > 1 else ():
        other = pairs.part(fold != number).fit(best)[0]
        others.append(other.log_coefficient)
        gain[fold == number] = pairs.part(fold == number).log_likelihood(other)
    n, count = len(others), int(neighbours.sum())
    sums = torch.zeros(len(members), dtype=torch.float64)
    sums.index_add_(0, torch.searchsorted(members, pairs.movie[neighbours]), gain[neighbours])
    return DiffusionFit(
        coefficient=math.exp(best.log_coefficient),
        relative_error=float(np.std(others)) * (n - 1) ** 0.5 if n > 1 else math.inf,
        inflation=best.inflation,
        jumps=best.jumps,
        gain=float(sums.sum()) / count,
        gain_error=float(sums.std()) * len(sums) ** 0.5 / count if n > 1 else math.inf,
    )


@dataclass(frozen=True)
class _Parameters:
    log_coefficient: float
    log_inflation: float
    jump_logit: float

    @property
    def inflation(self) -> float:
        return math.exp(self.log_inflation)

    @property
    def jumps(self) -> float:
        return 1 / (1 + math.exp(-self.jump_logit))


@dataclass(frozen=True)
class _Pairs:
    """Pairs of frames of one movie: angle, mean variance, Δt, frames apart, and the movie."""

    angle: Tensor
    spread: Tensor
    interval: Tensor
    lag: Tensor
    movie: Tensor

    @classmethod
    def of_movies(
        cls, rotations: Tensor, variance: Tensor, movies: list[np.ndarray], steps: np.ndarray
    ) -> _Pairs:
        n = sum(len(movie) - 1 for movie in movies)
        chosen = movies[:: max(1, math.ceil(n / _MOST_PAIRS))]
        columns: list[np.ndarray] = []
        for number, movie in enumerate(chosen):
            clock = np.concatenate([[0.0], np.cumsum(steps[movie[1:]])])
            for lag in _LAGS:
                a, b = movie[:-lag], movie[lag:]
                interval = clock[lag:] - clock[:-lag]
                same = np.ones(len(a))
                columns.append(np.stack([a, b, interval, lag * same, number * same]))
        a, b, interval, lag, number = torch.from_numpy(np.concatenate(columns, axis=1))
        first, second = a.long(), b.long()
        angle = torch.deg2rad(geodesic_degrees(rotations[first], rotations[second])).double()
        spread = 0.5 * (variance[first] + variance[second]).double()
        return cls(angle, spread, interval, lag, number.long())

    @property
    def usual_interval(self) -> float:
        return float(self.interval[self.lag == 1].median())

    def part(self, chosen: Tensor) -> _Pairs:
        return _Pairs(*(values[chosen] for values in vars(self).values()))

    def log_likelihood(self, parameters: _Parameters) -> Tensor:
        """``log((1 − ε) K + ε)`` of every pair."""
        d, logit = parameters.log_coefficient, torch.tensor(parameters.jump_logit).double()
        tau = math.exp(d) * self.interval + parameters.inflation * self.spread
        kernel = log_diffusion_density(self.angle, tau.clamp(min=1e-12))
        not_one, one = (torch.nn.functional.logsigmoid(sign * logit) for sign in (-1, 1))
        return torch.logaddexp(not_one + kernel, one)

    def fit(self, start: _Parameters) -> tuple[_Parameters, float]:
        """The likeliest parameters near given ones, and their negative log-likelihood."""
        low, high = (
            math.log(0.5 * turn**2 / self.usual_interval) for turn in (_LEAST_TURN, _LARGEST_TURN)
        )
        bounds = [(low, high), tuple(math.log(k) for k in _INFLATION), (-12.0, 12.0)]
        first = np.array([start.log_coefficient, start.log_inflation, start.jump_logit])
        result = minimize(
            lambda x: -float(self.log_likelihood(_Parameters(*x)).sum()),
            first.clip(*np.array(bounds).T),
            method="Nelder-Mead",
            bounds=bounds,
            options={
                "maxfev": _STEPS,
                "initial_simplex": np.vstack([first, first + np.diag([0.5, 0.5, -1.0])]),
                "xatol": 1e-3,
                "fatol": 1e-3,
            },
        )
        return _Parameters(*result.x.tolist()), float(result.fun)
