"""Markov jumps between basins, in continuous time (Colquhoun and Hawkes 1977).

A molecule stays in basin i and jumps to j with the rate k_ij, without a memory. Within a basin, x
is Gaussian in every frame. Rates obey detailed balance, ``π_i k_ij = π_j k_ji``, as in equilibrium:
``k_ij = s_ij √(π_j / π_i)`` with s symmetric. Movies begin in equilibrium. Frames may be at any
times: probabilities after Δ are ``exp(K Δ)``. The likelihood is that of a hidden Markov model
(Rabiner 1989), in which every frame has its own uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch import Tensor, nn

from temporem.kinetics.chain import forward, gaussian_emission
from temporem.kinetics.measurements import Measurements
from temporem.kinetics.optimum import Likelihood, counted, maximise, maximise_many

_FIRST_RATES = (0.3, 0.03)  # jumps per interval with which a fit begins
_FASTEST = 10.0  # jumps per interval; more cannot be seen
_NARROWEST = 0.02  # width of a basin, in standard deviations of x
_TRACE = 1e-4  # of a prior


@dataclass(frozen=True, eq=False)
class JumpFit:
    """A fitted model of S basins, in the order of their centres.

    Attributes:
        centres: means of x, ``(S,)``.
        widths: standard deviations of x within basins, ``(S,)``.
        populations: shares of the time, π, ``(S,)``.
        rates: k_ij from i to j per unit of time, 0 for i = j, ``(S, S)``.
        log_likelihood: of all movies, nats.
        numbers: the parameters as the fit has them.
    """

    centres: np.ndarray
    widths: np.ndarray
    populations: np.ndarray
    rates: np.ndarray
    log_likelihood: float
    numbers: np.ndarray

    @property
    def n_states(self) -> int:
        """Number S of basins."""
        return len(self.centres)

    @property
    def dwells(self) -> np.ndarray:
        """Mean times of a stay, ``(S,)``; infinite with one basin."""
        leaving = self.rates.sum(1)
        return np.divide(1.0, leaving, out=np.full_like(leaving, np.inf), where=leaving > 0)

    @property
    def relaxation(self) -> float:
        """Time in which a disturbance of the populations falls to 1/e; NaN with one basin."""
        if self.n_states == 1:
            return float("nan")
        generator = self.rates - np.diag(self.rates.sum(1))
        root = np.sqrt(self.populations)
        values = np.linalg.eigvalsh(root[:, None] * generator / root)
        return float(-1 / values[-2])


def fit_jumps(
    measured: Measurements, n_states: int, *, centres: list[float] | None = None
) -> JumpFit:
    """Fit basins and rates by maximum likelihood.

    Args:
        measured: what frames say alone.
        n_states: number S of basins.
        centres: first centres of the basins; quantiles when None.
    """
    model = _Model.of(measured, n_states)

    def alone(numbers: Tensor, weights: Tensor | None) -> Tensor:
        """Frames without an order: what they say of the basins and not of the rates."""
        found = model.parameters(numbers)
        emission = gaussian_emission(measured.packed, found.centres, found.widths.square())
        each = (emission + found.populations.log()[:, None, None]).logsumexp(-1).sum(-1)
        return counted(each, weights)

    first, _ = maximise(alone, model.first(measured, centres), model.bounds)
    likelihood = model.likelihood(measured)
    found = [
        maximise(likelihood, model.with_rate(first, rate), model.bounds)
        for rate in _FIRST_RATES[: min(n_states, 2)]
    ]
    numbers, value = max(found, key=lambda item: item[1])
    return model.fit_of(numbers, value)


def resample_jumps(measured: Measurements, fit: JumpFit, weights: np.ndarray) -> list[JumpFit]:
    """Fit again with movies counted ``weights (B, M)`` times."""
    model = _Model.of(measured, fit.n_states)
    found = maximise_many(
        model.likelihood(measured), fit.numbers, weights, model.bounds, elements=fit.n_states
    )
    return [model.fit_of(numbers, fit.log_likelihood) for numbers in found]


def n_parameters(n_states: int) -> int:
    """Number of free parameters of a model of S basins."""
    return 2 * n_states + (n_states - 1) + n_states * (n_states - 1) // 2


def state_probabilities(measured: Measurements, fit: JumpFit) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each basin in each frame, and expected jumps, given all frames of a movie.

    Both are derivatives of the log-likelihood: by the emissions, and by the logarithms of rates
    whose total rate of leaving stays as it is.

    Returns:
        Probabilities ``(N, S)`` and expected numbers of jumps from i to j, ``(S, S)``.
    """
    packed, rates = measured.packed, torch.from_numpy(fit.rates)
    centres, widths = torch.from_numpy(fit.centres), torch.from_numpy(fit.widths)
    emission = gaussian_emission(packed, centres, widths.square()).requires_grad_()
    factor = torch.zeros_like(rates).requires_grad_()
    generator = rates * factor.exp() - torch.diag(rates.sum(1))
    transitions = torch.matrix_exp(generator * packed.intervals[:, None, None])
    initial = torch.from_numpy(fit.populations)
    each, _ = forward(initial, transitions, packed.interval_index, emission)
    share, jumps = torch.autograd.grad(each.sum(), (emission, factor), allow_unused=True)
    found = np.zeros((len(measured.score), fit.n_states))
    seen = packed.rows >= 0
    found[packed.rows[seen]] = share.numpy()[seen]
    return found, np.zeros_like(fit.rates) if jumps is None else jumps.numpy()


@dataclass(frozen=True)
class _Parameters:
    centres: Tensor
    widths: Tensor
    populations: Tensor
    generator: Tensor


@dataclass(frozen=True)
class _Model:
    """How P numbers stand for basins and rates.

    The numbers are centres and log widths in standard deviations of x, log ratios of populations to
    the first, and log s_ij in jumps per interval.
    """

    n_states: int
    centre: float
    scale: float
    interval: float
    slowest: float

    @classmethod
    def of(cls, measured: Measurements, n_states: int) -> _Model:
        _, centre, scale = measured.shrunk()
        interval = measured.interval
        slowest = 0.05 * interval / max(measured.watched, interval)
        return cls(n_states, centre, scale, interval, slowest)

    @property
    def bounds(self) -> list[tuple[float, float]]:
        s = self.n_states
        rates = s * (s - 1) // 2
        return [
            *[(-6.0, 6.0)] * s,
            *[(log(_NARROWEST), log(3.0))] * s,
            *[(-7.0, 7.0)] * (s - 1),
            *[(log(self.slowest), log(_FASTEST))] * rates,
        ]

    def first(self, measured: Measurements, centres: list[float] | None) -> np.ndarray:
        """Basins with which a fit begins."""
        s = self.n_states
        if centres is None:
            places = (np.arange(s) + 0.5) / s
            found = np.quantile(measured.shrunk()[0], places)
        else:
            found = np.array(centres)
        numbers = np.zeros(len(self.bounds))
        numbers[:s] = (found - self.centre) / self.scale
        numbers[s : 2 * s] = log(1.0 if s == 1 else 0.3)
        return numbers

    def with_rate(self, numbers: np.ndarray, rate: float) -> np.ndarray:
        """The numbers with all s_ij of one value, in jumps per interval."""
        changed = numbers.copy()
        changed[3 * self.n_states - 1 :] = log(rate)
        return changed

    def likelihood(self, measured: Measurements) -> Likelihood:
        """Log-likelihood of movies, with a trace of a prior that keeps numbers finite."""
        packed = measured.packed

        def likelihood(numbers: Tensor, weights: Tensor | None) -> Tensor:
            found = self.parameters(numbers)
            emission = gaussian_emission(packed, found.centres, found.widths.square())
            steps = torch.matrix_exp(
                found.generator[..., None, :, :] * packed.intervals[:, None, None]
            )
            each, _ = forward(found.populations, steps, packed.interval_index, emission)
            return counted(each, weights) - 0.5 * _TRACE * numbers.square().sum(-1)

        return likelihood

    def parameters(self, numbers: Tensor) -> _Parameters:
        """Basins and rates of numbers ``(..., P)``."""
        s = self.n_states
        ratios = nn.functional.pad(numbers[..., 2 * s : 3 * s - 1], (1, 0))
        rates = numbers.new_zeros(*numbers.shape[:-1], s, s)
        if s > 1:
            i, j = torch.triu_indices(s, s, 1)
            symmetric = numbers[..., 3 * s - 1 :].exp() / self.interval
            rates[..., i, j] = symmetric
            rates[..., j, i] = symmetric
            rates = rates * ((ratios[..., None, :] - ratios[..., None]) / 2).exp()
        return _Parameters(
            self.centre + self.scale * numbers[..., :s],
            self.scale * numbers[..., s : 2 * s].exp(),
            ratios.softmax(-1),
            rates - torch.diag_embed(rates.sum(-1)),
        )

    def fit_of(self, numbers: np.ndarray, log_likelihood: float) -> JumpFit:
        """The fit with basins in the order of their centres."""
        found = self.parameters(torch.from_numpy(numbers))
        order = np.argsort(found.centres.numpy(), kind="stable")
        rates = found.generator.numpy()[np.ix_(order, order)].copy()
        np.fill_diagonal(rates, 0)
        return JumpFit(
            found.centres.numpy()[order],
            found.widths.numpy()[order],
            found.populations.numpy()[order],
            rates,
            log_likelihood,
            numbers,
        )
