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
from math import log

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor, nn

from temporem.kinetics.chain import forward, gaussian_emission
from temporem.kinetics.measurements import Measurements
from temporem.kinetics.optimum import Likelihood, counted, maximise, maximise_many
from temporem.kinetics.symmetric_exponential import symmetric_exponential

_KNOTS = 9  # of the potential
_RATE_KNOTS = 5  # of ln D
_POINTS = 40
_REACH = 0.5  # of the grid beyond the frames, in standard deviations of x
_SMOOTH = 1.0  # penalty on second differences of U at the knots, 1/kT²
_STEADY = 2.0  # penalty on first differences of ln D at its knots
_HIGHEST = 8.0  # kT; higher walls cannot be told from this
_KNOT_BOUNDS = [(-_HIGHEST, _HIGHEST)] * _KNOTS
_RATE_BOUNDS = [(log(1e-6), log(3.0))] * _RATE_KNOTS  # lengths of the grid² per interval


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
        """Symmetrised generator ``π^½ L π^−½``, ``(..., K, K)``, for D between points."""
        hop = ((potential[..., :-1] - potential[..., 1:]) / 2).exp()
        pad = nn.functional.pad
        leaving = pad(diffusion * hop, (0, 1)) + pad(diffusion / hop, (1, 0))
        beside = torch.diag_embed(diffusion, 1) + torch.diag_embed(diffusion, -1)
        return (beside - torch.diag_embed(leaving)) / self.spacing**2

    def transitions(self, potential: Tensor, diffusion: Tensor, intervals: Tensor) -> Tensor:
        """Probabilities after intervals ``(G,)``, rows from: ``(..., G, K, K)``."""
        symmetric = symmetric_exponential(self.generator(potential, diffusion), intervals)
        half = (-potential / 2).exp()[..., None, :]
        return symmetric.clamp(min=0) * half[..., None, :] / half[..., None]


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
        _, last = forward(self._share, steps, packed.interval_index, emission)
        onward = self.grid.transitions(potential, diffusion, torch.from_numpy(ahead).double())
        found: np.ndarray = torch.einsum("mi,lij->mlj", last, onward).numpy()
        return found


def fit_density(measured: Measurements, grid: Grid) -> np.ndarray:
    """Find the potential ``−ln p`` of the stationary density, taking frames without their order.

    Args:
        measured: what frames say alone.
        grid: points and knots.

    Returns:
        The potential at the knots, kT, ``(n,)``.
    """
    return maximise(_density_likelihood(measured, grid), np.zeros(_KNOTS), _KNOT_BOUNDS)[0]


def resample_density(
    measured: Measurements, grid: Grid, knots: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Fit the density again with movies counted ``weights (B, M)`` times: ``(B, n)``."""
    likelihood = _density_likelihood(measured, grid)
    return maximise_many(likelihood, knots, weights, _KNOT_BOUNDS, elements=_POINTS)


def fit_langevin(
    measured: Measurements, grid: Grid, *, start: np.ndarray | None = None
) -> LangevinFit:
    """Fit potential and diffusion coefficient by maximum likelihood.

    Args:
        measured: what frames say alone.
        grid: points and knots.
        start: numbers to begin with, see :func:`start_of`; the density when None.
    """
    if start is None:
        start = start_of(fit_density(measured, grid))
    likelihood = _langevin_likelihood(measured, grid)
    numbers, value = maximise(likelihood, start, _KNOT_BOUNDS + _RATE_BOUNDS)
    return _fit_of(measured, grid, numbers, value)


def resample_langevin(
    measured: Measurements, fit: LangevinFit, weights: np.ndarray
) -> list[LangevinFit]:
    """Fit again with movies counted ``weights (B, M)`` times."""
    grid = fit.grid
    likelihood = _langevin_likelihood(measured, grid)
    bounds = _KNOT_BOUNDS + _RATE_BOUNDS
    found = maximise_many(likelihood, fit.numbers, weights, bounds, elements=_POINTS)
    return [_fit_of(measured, grid, numbers, fit.log_likelihood) for numbers in found]


def _density_likelihood(measured: Measurements, grid: Grid) -> Likelihood:
    emission = grid.emission(measured)

    def likelihood(numbers: Tensor, weights: Tensor | None) -> Tensor:
        log_share = (-(numbers @ grid.basis.mT)).log_softmax(-1)
        each = (emission + log_share[:, None, None]).logsumexp(-1).sum(-1)
        return counted(each, weights) - _roughness(numbers)

    return likelihood


def _langevin_likelihood(measured: Measurements, grid: Grid) -> Likelihood:
    packed, emission = measured.packed, grid.emission(measured)

    def likelihood(numbers: Tensor, weights: Tensor | None) -> Tensor:
        potential, diffusion = _split(measured, grid, numbers)
        steps = grid.transitions(potential, diffusion, packed.intervals)
        initial = (-potential).softmax(-1)
        each, _ = forward(initial, steps, packed.interval_index, emission)
        uneven = numbers[:, _KNOTS:].diff().square().sum(-1)
        rough = _roughness(numbers[:, :_KNOTS])
        return counted(each, weights) - rough - 0.5 * _STEADY * uneven

    return likelihood


def _split(measured: Measurements, grid: Grid, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Potential at points and D between them."""
    # D is counted in lengths of the grid squared per interval.
    unit = float(np.ptp(grid.points)) ** 2 / measured.interval
    potential = numbers[..., :_KNOTS] @ grid.basis.mT
    diffusion = (numbers[..., _KNOTS:] @ grid.rate_basis.mT).exp() * unit
    return potential - potential.amin(-1, keepdim=True), diffusion


def _fit_of(measured: Measurements, grid: Grid, numbers: np.ndarray, value: float) -> LangevinFit:
    found = _split(measured, grid, torch.from_numpy(numbers))
    potential, diffusion = (part.numpy() for part in found)
    return LangevinFit(grid, potential, diffusion, value, numbers)


def start_of(knots: np.ndarray) -> np.ndarray:
    """Numbers with which a fit begins, from the potential at the knots."""
    return np.append(knots, np.full(_RATE_KNOTS, np.log(0.01)))


def _roughness(knots: Tensor) -> Tensor:
    bend = knots[:, 2:] - 2 * knots[:, 1:-1] + knots[:, :-2]
    return 0.5 * _SMOOTH * bend.square().sum(-1) + 1e-4 * knots.square().sum(-1)
