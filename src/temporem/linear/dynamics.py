"""Stationary linear Gaussian dynamics of latents in continuous time.

``dz = F z dt + dβ`` with ``F = S − L Lᵀ − ε``, S antisymmetric, and ``E[dβ dβᵀ] = −(F + Fᵀ) dt``
(an Ornstein–Uhlenbeck process), so that every z(t) is N(0, 1). Between frames Δ apart,

``z' = A z + w,  w ~ N(0, 1 − A Aᵀ),  A = exp(F Δ)``,

which covers gaps and irregular times. S rotates latents into one another, as motion along a curve
does; L lets them decay. The scale of z is fixed, so the volumes carry the scale of the motion.
With A = 0 frames are independent: probabilistic principal components (Tipping and Bishop 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SLOWEST = 1e-3  # ε: latents decay within a thousand intervals at the latest
_FIRST_RATE = 0.1
_LEAST_VARIANCE = 1e-6
_STEPS = 40  # steps of the quasi-Newton method


@dataclass(frozen=True)
class Moments:
    """Posterior moments of pairs of neighbouring frames, from which dynamics are estimated.

    Attributes:
        intervals: G different times between neighbours, ``(G,)``.
        pairs: ``Σ E[u uᵀ]`` with u = (z', z) over the pairs of each interval, ``(G, 2q, 2q)``.
        counts: number of pairs, ``(G,)``.
    """

    intervals: Tensor
    pairs: Tensor
    counts: Tensor

    def __add__(self, other: Moments) -> Moments:
        """Moments of both sets of pairs; their intervals are the same."""
        return Moments(self.intervals, self.pairs + other.pairs, self.counts + other.counts)

    def transformed(self, matrix: Tensor) -> Moments:
        """Moments of ``M z``."""
        both = torch.block_diag(matrix, matrix)
        return Moments(self.intervals, both @ self.pairs @ both.mT, self.counts)


@dataclass(frozen=True)
class Transitions:
    """``z' = A z + w, w ~ N(0, Q)``: matrices ``(..., q, q)``."""

    matrix: Tensor
    noise: Tensor

    def __getitem__(self, index: Tensor) -> Transitions:
        return Transitions(self.matrix[index], self.noise[index])


@dataclass(frozen=True)
class Dynamics:
    """Dynamics of q latents, see the module; float64, on the CPU, rates per unit of time.

    Attributes:
        rotation: S, antisymmetric ``(q, q)``.
        decay: L, lower triangular ``(q, q)``.
        temporal: false makes all frames independent, whatever S and L are.
    """

    rotation: Tensor
    decay: Tensor
    temporal: bool

    @classmethod
    def initial(cls, q: int, *, temporal: bool) -> Dynamics:
        """Dynamics that decay in about ten units of time, without rotation."""
        one = torch.eye(q, dtype=torch.float64)
        return cls(torch.zeros_like(one), _FIRST_RATE**0.5 * one, temporal)

    @property
    def q(self) -> int:
        return len(self.decay)

    def rotated(self, axes: Tensor) -> Dynamics:
        """Dynamics of ``M z`` for an orthogonal M ``(q, q)``."""
        square = axes @ self.decay @ self.decay.mT @ axes.mT
        tiny = 1e-14 * torch.eye(self.q, dtype=square.dtype)
        decay = torch.linalg.cholesky((square + square.mT) / 2 + tiny)
        return Dynamics(axes @ self.rotation @ axes.mT, decay, self.temporal)

    def transitions(self, intervals: Tensor) -> Transitions:
        """Transitions between frames that are ``intervals (...)`` apart."""
        one = torch.eye(self.q, dtype=torch.float64)
        if not self.temporal:
            shape = (*intervals.shape, self.q, self.q)
            return Transitions(torch.zeros_like(one).expand(shape), one.expand(shape))
        rate = self.rotation - self.decay @ self.decay.mT - _SLOWEST * one
        matrix = torch.matrix_exp(rate * intervals[..., None, None].double())
        return Transitions(matrix, (1 + _LEAST_VARIANCE) * one - matrix @ matrix.mT)

    def expected_log_likelihood(self, moments: Moments) -> Tensor:
        """Compute ``Σ E log p(z' | z)`` up to a constant, a scalar."""
        t = self.transitions(moments.intervals)
        one = torch.eye(self.q, dtype=torch.float64)
        to_noise = torch.cat([one.expand_as(t.matrix), -t.matrix], dim=-1)  # w = z' − A z
        factor = torch.linalg.cholesky(t.noise)
        scatter = to_noise @ moments.pairs @ to_noise.mT
        squares = torch.cholesky_solve(scatter, factor).diagonal(dim1=-2, dim2=-1).sum(-1)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (moments.counts * log_det + squares).sum()

    def maximise(self, moments: Moments) -> Dynamics:
        """Find dynamics with a higher likelihood of the moments, never a lower one (M-step).

        L-BFGS starts from these dynamics.
        """
        count = float(moments.counts.sum())
        if not self.temporal or count == 0:
            return self
        rotation = self.rotation.contiguous().clone().requires_grad_()
        decay = self.decay.contiguous().clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [rotation, decay], max_iter=_STEPS, line_search_fn="strong_wolfe"
        )

        def current() -> Dynamics:
            skew = rotation.triu(1)
            return Dynamics(skew - skew.mT, decay.tril(), self.temporal)

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = -current().expected_log_likelihood(moments) / count
            value.backward()
            return value

        before = self.expected_log_likelihood(moments)
        try:
            optimizer.step(loss)
            with torch.no_grad():
                found = current()
                better = found.expected_log_likelihood(moments) >= before
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            return self  # a step was so long that a covariance was not positive
        return found if better else self
