"""Maxima of smooth likelihoods of a few numbers, one or many at a time."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

Bounds = list[tuple[float, float]]

_MOST_STEPS = 200
_STEPS = 25  # of many fits at a time, which begin near their end
_HALVINGS = 6
_ROUGH = 1e-3  # nats; resampled fits need no more
_DIFFERENCE = 1e-3  # between numbers, for second derivatives
_FLATTEST = 0.3  # least curvature that a first step counts on
_FARTHEST = 1.0  # longest step of a number
_ELEMENTS = 3_000_000  # at a time


class Likelihood(Protocol):
    """Log-likelihood of B sets of P numbers, each for movies of its own weights."""

    def __call__(self, numbers: Tensor, weights: Tensor | None) -> Tensor:
        """``(B, P)`` and ``(B, M)`` to ``(B,)``; without weights every movie counts once."""
        ...


def counted(each: Tensor, weights: Tensor | None) -> Tensor:
    """Sum the log-likelihoods of movies ``(B, M)`` as often as they count."""
    return each.sum(-1) if weights is None else (weights * each).sum(-1)


def maximise(likelihood: Likelihood, start: np.ndarray, bounds: Bounds) -> tuple[np.ndarray, float]:
    """Maximise by L-BFGS within bounds (Byrd et al. 1995), with gradients of torch.

    Args:
        likelihood: what to maximise; every movie counts once.
        start: where to begin, ``(P,)``.
        bounds: lowest and highest value of each number.

    Returns:
        The place ``(P,)`` and the value there.
    """

    def negative(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _with_slope(likelihood, torch.from_numpy(point.copy())[None], None)
        if not torch.isfinite(value).all() or not torch.isfinite(slope).all():
            return 1e12, np.zeros_like(point)
        return -float(value[0]), -slope[0].numpy()

    first = np.clip(start, *np.array(bounds, dtype=np.float64).T)
    size = max(1.0, abs(negative(first)[0]))
    options = {"maxiter": _MOST_STEPS, "ftol": 1e-5 / size, "gtol": 1e-4}
    found = minimize(negative, first, jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    return found.x, -float(found.fun)


def maximise_many(
    likelihood: Likelihood,
    start: np.ndarray,
    weights: np.ndarray,
    bounds: Bounds,
    *,
    elements: int,
) -> np.ndarray:
    """Maximise for many sets of weights at a time, all from the maximum for equal weights.

    Quasi-Newton steps (BFGS; Nocedal and Wright 2006) begin with the curvature there. Numbers at a
    bound stay there while the slope leads outwards.

    Args:
        likelihood: what to maximise.
        start: the maximum for equal weights, ``(P,)``.
        weights: how often each movie counts, ``(B, M)``.
        bounds: lowest and highest value of each number.
        elements: numbers that a movie takes in memory for each set.

    Returns:
        The places, ``(B, P)``.
    """
    first = torch.from_numpy(start)
    inverse = _inverse_curvature(likelihood, first)
    some = max(1, _ELEMENTS // (elements * weights.shape[1] * 20))
    low, high = torch.from_numpy(np.array(bounds, dtype=np.float64)).T
    parts = torch.from_numpy(weights.astype(np.float64)).split(some)
    return torch.cat([_climb(likelihood, first, inverse, w, low, high) for w in parts]).numpy()


def _climb(
    likelihood: Likelihood,
    start: Tensor,
    inverse: Tensor,
    weights: Tensor,
    low: Tensor,
    high: Tensor,
) -> Tensor:
    n = len(weights)
    x, h = start.clamp(low, high).repeat(n, 1), inverse.repeat(n, 1, 1)
    value, slope = _with_slope(likelihood, x, weights)
    for _ in range(_STEPS):
        free = ~((x <= low) & (slope < 0) | (x >= high) & (slope > 0))
        uphill = slope * free
        step = (h @ uphill[..., None]).squeeze(-1) * free
        wrong = (step * uphill).sum(-1, keepdim=True) <= 0
        step = torch.where(wrong, uphill, step)
        step = step * (_FARTHEST / step.abs().amax(-1, keepdim=True).clamp(min=_FARTHEST))
        length = torch.ones(n, 1, dtype=x.dtype)
        for _ in range(_HALVINGS):
            there = (x + length * step).clamp(low, high)
            found, found_slope = _with_slope(likelihood, there, weights)
            worse = ~(found >= value - 1e-9)
            if not worse.any():
                break
            length = torch.where(worse[:, None], length / 4, length)
        there = torch.where(worse[:, None], x, there)
        rise = torch.where(worse, torch.zeros_like(value), found - value)
        moved, bent = there - x, slope - found_slope
        h = _updated(h, moved, bent, worse)
        x, value = there, torch.where(worse, value, found)
        slope = torch.where(worse[:, None], slope, found_slope)
        if rise.max() < _ROUGH:
            break
    return x


def _updated(h: Tensor, moved: Tensor, bent: Tensor, worse: Tensor) -> Tensor:
    """BFGS update of inverse curvatures ``(B, P, P)`` from what a step shows of the curvature."""
    along = (moved * bent).sum(-1)
    useful = (along > 1e-10) & ~worse
    rho = torch.where(useful, 1 / along.clamp(min=1e-10), torch.zeros_like(along))[:, None, None]
    outer = moved[:, :, None] * bent[:, None]
    left = torch.eye(h.shape[-1], dtype=h.dtype) - rho * outer
    return left @ h @ left.mT + rho * moved[:, :, None] * moved[:, None]


def _inverse_curvature(likelihood: Likelihood, start: Tensor) -> Tensor:
    """Inverse of the negative second derivative, ``(P, P)``, positive and not too long."""
    p = len(start)
    ends = torch.eye(p, dtype=torch.float64) * _DIFFERENCE
    _, slopes = _with_slope(likelihood, torch.cat([start + ends, start - ends]), None)
    curvature = -(slopes[:p] - slopes[p:]) / (2 * _DIFFERENCE)
    values, vectors = torch.linalg.eigh((curvature + curvature.mT) / 2)
    return (vectors / values.clamp(min=_FLATTEST)) @ vectors.mT


def _with_slope(
    likelihood: Likelihood, numbers: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    x = numbers.clone().requires_grad_()
    value = likelihood(x, weights)
    (slope,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), slope
