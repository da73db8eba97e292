"""Diffusion along x in a potential of mean force, and the stationary density.

``dx = (D' − D U') dt + √(2D) dW``, U in kT (overdamped Langevin dynamics). On a grid of K points, x
hops to neighbours with the rates ``D/δ² exp(−ΔU/2)`` (Bicout and Szabo 1998). They keep the
stationary density ``exp(−U)`` exactly. U and ln D are natural cubic splines, whose values at knots
are found by maximum likelihood (Hummer 2005; Best and Hummer 2010). D may vary along x, because the
scale of a latent is arbitrary: where the volume changes little, x moves little. The noise of every
frame is part of the likelihood, so the density is deconvolved (Efron 2016), and D has no error of
localisation. Frames without an order give U alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from temporem.kinetics.chain import filtered, gaussian_emission, movie_log_likelihoods
from temporem.kinetics.measurements import Measurements
from temporem.kinetics.optimum import maximise
from temporem.kinetics.symmetric_exponential import symmetric_exponential

_KNOTS = 9  # of the potential
_RATE_KNOTS = 5  # of ln D
_POINTS = 40
_REACH = 0.5  # of the grid beyond the frames, in standard deviations of x
_SMOOTH = 1.0  # penalty on second differences of U at the knots, 1/kT²
_STEADY = 2.0  # penalty on first differences of ln D at its knots
_HIGHEST = 8.0  # kT; higher walls cannot be told from this


@dataclass(frozen=True, eq=False)
class Grid:
    """Points along x, and the splines of a potential on them.

    Attributes:
        points: ``(K,)``, evenly spaced.
        knots: ``(n,)``.
        basis: the potential at points from that at knots, ``(K, n)``.
        rate_basis: ln D between points from that at its knots, ``(K − 1, n')``.
    """

    points: np.ndarray
    knots: np.ndarray
    basis: Tensor
    rate_basis: Tensor

    @classmethod
    def of(cls, measured: Measurements) -> Grid:
        """Make the grid that holds what frames measure."""
        values, _, deviation = measured.shrunk()
        low, high = np.quantile(values, (0.002, 0.998))
        reach = _REACH * deviation
        points = np.linspace(low - reach, high + reach, _POINTS)
        knots = np.linspace(points[0], points[-1], _KNOTS)
        basis = CubicSpline(knots, np.eye(_KNOTS), bc_type="natural")(points)
        rate_knots = np.linspace(points[0], points[-1], _RATE_KNOTS)
        between = (points[1:] + points[:-1]) / 2
        rates = CubicSpline(rate_knots, np.eye(_RATE_KNOTS), bc_type="natural")(between)
        return cls(points, knots, torch.from_numpy(basis), torch.from_numpy(rates))

    @property
    def spacing(self) -> float:
        """Distance δ of neighbouring points."""
        return float(self.points[1] - self.points[0])

    def emission(self, measured: Measurements) -> Tensor:
        """Log-likelihood of every frame at every point, ``(M, T, K)``, each a cell of width δ."""
        variance = torch.full((len(self.points),), self.spacing**2 / 12, dtype=torch.float64)
        return gaussian_emission(measured.packed, torch.from_numpy(self.points), variance)

    def generator(self, potential: Tensor, diffusion: Tensor) -> Tensor:
        """Symmetrised generator ``π^½ L π^−½`` for D between points ``(K − 1,)``: ``(K, K)``."""
        hop = ((potential[:-1] - potential[1:]) / 2).exp()
        zero = potential.new_zeros(1)
        leaving = torch.cat([diffusion * hop, zero]) + torch.cat([zero, diffusion / hop])
        matrix = torch.diag(diffusion, 1) + torch.diag(diffusion, -1) - torch.diag(leaving)
        return matrix / self.spacing**2

    def transitions(self, potential: Tensor, diffusion: Tensor, intervals: Tensor) -> Tensor:
        """Probabilities after intervals ``(G,)``, rows from: ``(G, K, K)``."""
        symmetric = symmetric_exponential(self.generator(potential, diffusion), intervals)
        half = (-potential / 2).exp()
        return symmetric.clamp(min=0) * half / half[:, None]


@dataclass(frozen=True, eq=False)
class LangevinFit:
    """A potential on a grid, and a diffusion coefficient.

    Attributes:
        grid: the grid.
        potential: U in kT, 0 at its lowest, ``(K,)``.
        diffusion: D between points, squares of x per unit of time, ``(K − 1,)``.
        log_likelihood: of all movies, nats.
        numbers: the parameters as the fit has them.
    """

    grid: Grid
    potential: np.ndarray
    diffusion: np.ndarray
    log_likelihood: float
    numbers: np.ndarray

    @property
    def density(self) -> np.ndarray:
        """Stationary density of x, ``(K,)``; its integral is 1."""
        weight = np.exp(-self.potential)
        return weight / weight.sum() / self.grid.spacing

    @property
    def mean_diffusion(self) -> float:
        """Mean of D in equilibrium."""
        weight = np.exp(-(self.potential[1:] + self.potential[:-1]) / 2)
        return float((weight * self.diffusion).sum() / weight.sum())

    @property
    def relaxation(self) -> float:
        """The slowest relaxation time."""
        parts = torch.from_numpy(self.potential), torch.from_numpy(self.diffusion)
        return float(-1 / np.linalg.eigvalsh(self.grid.generator(*parts).numpy())[-2])

    @cached_property
    def _share(self) -> Tensor:
        weight = np.exp(-self.potential)
        return torch.from_numpy(weight / weight.sum())

    def forecast(self, measured: Measurements, ahead: np.ndarray) -> np.ndarray:
        """Predict the density of x after the last frame of every movie.

        Args:
            measured: what frames say alone.
            ahead: times after the last frame, ``(L,)``.

        Returns:
            Probabilities of the points of the grid, ``(M, L, K)``.
        """
        packed, potential = measured.packed, torch.from_numpy(self.potential)
        diffusion = torch.from_numpy(self.diffusion)
        steps = self.grid.transitions(potential, diffusion, packed.intervals)
        emission = self.grid.emission(measured)
        last = filtered(self._share, steps, packed.interval_index, emission)
        onward = self.grid.transitions(potential, diffusion, torch.from_numpy(ahead).double())
        found: np.ndarray = torch.einsum("mi,lij->mlj", last, onward).numpy()
        return found


def fit_density(
    measured: Measurements,
    grid: Grid,
    *,
    weights: np.ndarray | None = None,
    start: np.ndarray | None = None,
    tolerance: float = 1e-5,
) -> np.ndarray:
    """Find the potential ``−ln p`` of the stationary density, taking frames without their order.

    Args:
        measured: what frames say alone.
        grid: points and knots.
        weights: how often each movie counts, ``(M,)``; once when None.
        start: potential at the knots to begin with.
        tolerance: of the log-likelihood, nats.

    Returns:
        The potential at the knots, kT, ``(n,)``.
    """
    emission = grid.emission(measured)
    times = _weights(measured, weights)

    def objective(knots: Tensor) -> Tensor:
        log_share = (-(grid.basis @ knots)).log_softmax(0)
        each = (emission + log_share).logsumexp(-1).sum(1)
        return (times * each).sum() - _roughness(knots)

    first = np.zeros(_KNOTS) if start is None else start
    found, _ = maximise(objective, first, [(-_HIGHEST, _HIGHEST)] * _KNOTS, tolerance=tolerance)
    return found


def fit_langevin(
    measured: Measurements,
    grid: Grid,
    *,
    weights: np.ndarray | None = None,
    start: np.ndarray | None = None,
    tolerance: float = 1e-5,
) -> LangevinFit:
    """Fit potential and diffusion coefficient by maximum likelihood.

    Args:
        measured: what frames say alone.
        grid: points and knots.
        weights: how often each movie counts, ``(M,)``; once when None.
        start: numbers of a fit to begin with; the density when None.
        tolerance: of the log-likelihood, nats.
    """
    packed, emission = measured.packed, grid.emission(measured)
    times = _weights(measured, weights)
    # D is counted in lengths of the grid squared per interval.
    unit = float(np.ptp(grid.points)) ** 2 / measured.interval

    def split(numbers: Tensor) -> tuple[Tensor, Tensor]:
        potential = grid.basis @ numbers[:_KNOTS]
        return potential - potential.min(), (grid.rate_basis @ numbers[_KNOTS:]).exp() * unit

    def objective(numbers: Tensor) -> Tensor:
        potential, diffusion = split(numbers)
        steps = grid.transitions(potential, diffusion, packed.intervals)
        initial = (-potential).softmax(0)
        each = movie_log_likelihoods(initial, steps, packed.interval_index, emission)
        uneven = numbers[_KNOTS:].diff().square().sum()
        return (times * each).sum() - _roughness(numbers[:_KNOTS]) - 0.5 * _STEADY * uneven

    bounds = [(-_HIGHEST, _HIGHEST)] * _KNOTS + [(np.log(1e-6), np.log(3.0))] * _RATE_KNOTS
    if start is None:
        start = start_of(fit_density(measured, grid, weights=weights))
    numbers, value = maximise(objective, start, bounds, tolerance=tolerance)
    potential, diffusion = (part.numpy() for part in split(torch.from_numpy(numbers)))
    return LangevinFit(grid, potential, diffusion, value, numbers)


def start_of(knots: np.ndarray) -> np.ndarray:
    """Numbers with which a fit begins, from the potential at the knots."""
    return np.append(knots, np.full(_RATE_KNOTS, np.log(0.01)))


def _weights(measured: Measurements, weights: np.ndarray | None) -> Tensor:
    ones = np.ones(len(measured.movies)) if weights is None else weights
    return torch.from_numpy(np.asarray(ones, dtype=np.float64))


def _roughness(knots: Tensor) -> Tensor:
    bend = knots[2:] - 2 * knots[1:-1] + knots[:-2]
    return 0.5 * _SMOOTH * bend.square().sum() + 1e-4 * knots.square().sum()
