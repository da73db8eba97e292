"""Kalman filter (1960) and Rauch–Tung–Striebel smoother (1965), batched over movies.

Frames enter in information form: frame t multiplies the prior by ``exp(hᵀz − ½ zᵀJz)``. A frame
with ``J = 0, h = 0`` carries no information; short movies are padded with such frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.linear.dynamics import Transitions


@dataclass(frozen=True)
class SmoothedMovies:
    """Posterior of M movies of up to T frames, float64.

    Attributes:
        mean: ``E[z_t | y]``, ``(M, T, q)``.
        covariance: ``(M, T, q, q)``.
        lag_covariance: ``Cov(z_{t+1}, z_t | y)``, ``(M, T − 1, q, q)``.
        log_evidence: ``log ∫ Π_t exp(h_tᵀz_t − ½ z_tᵀJ_t z_t) p(z) dz``, ``(M,)``.
    """

    mean: Tensor
    covariance: Tensor
    lag_covariance: Tensor
    log_evidence: Tensor


def smooth(
    information: Tensor,
    score: Tensor,
    transitions: Transitions,
) -> SmoothedMovies:
    """Infer the exact posterior of a linear Gaussian chain.

    Args:
        information: J ``(M, T, q, q)``, symmetric and positive semi-definite.
        score: h ``(M, T, q)``.
        transitions: transitions from every frame to the next, ``(M, T − 1, q, q)``; the prior of
            the first frame is N(0, 1).
    """
    m, n, q = score.shape
    one = torch.eye(q, dtype=score.dtype)
    mean, covariance = score.new_zeros(m, q), one.expand(m, q, q)
    evidence = score.new_zeros(m)
    filtered, predicted = [], []
    # Time is sequential; movies are not.
    for t in range(n):
        if t > 0:
            a = transitions.matrix[:, t - 1]
            mean = _apply(a, mean)
            covariance = a @ covariance @ a.mT + transitions.noise[:, t - 1]
            predicted.append((mean, covariance))
        j, h = information[:, t], score[:, t]
        innovation = h - _apply(j, mean)
        system = one + covariance @ j
        updated = torch.linalg.solve(system, covariance)
        updated = (updated + updated.mT) / 2
        step = _apply(updated, innovation)
        evidence = evidence + 0.5 * (
            ((h + innovation) * mean).sum(-1)
            + (innovation * step).sum(-1)
            - torch.linalg.slogdet(system).logabsdet
        )
        mean, covariance = mean + step, updated
        filtered.append((mean, covariance))
    means, covariances, lags = [mean], [covariance], []
    for t in reversed(range(n - 1)):
        mean_t, covariance_t = filtered[t]
        mean_next, covariance_next = predicted[t]
        gain = torch.linalg.solve(covariance_next, transitions.matrix[:, t] @ covariance_t).mT
        lags.append(covariance @ gain.mT)
        mean = mean_t + _apply(gain, mean - mean_next)
        covariance = covariance_t + gain @ (covariance - covariance_next) @ gain.mT
        covariance = (covariance + covariance.mT) / 2
        means.append(mean)
        covariances.append(covariance)
    empty = score.new_zeros(m, 0, q, q)
    return SmoothedMovies(
        mean=torch.stack(means[::-1], dim=1),
        covariance=torch.stack(covariances[::-1], dim=1),
        lag_covariance=torch.stack(lags[::-1], dim=1) if lags else empty,
        log_evidence=evidence,
    )


def joint_covariance(first: Tensor, cross: Tensor, second: Tensor) -> Tensor:
    """Covariance of (a, b) from Cov(a), Cov(a, b) and Cov(b) ``(..., q, q)``: ``(..., 2q, 2q)``."""
    above, below = torch.cat([first, cross], dim=-1), torch.cat([cross.mT, second], dim=-1)
    return torch.cat([above, below], dim=-2)


def predict_between(
    mean: Tensor, covariance: Tensor, before: Transitions, after: Transitions
) -> tuple[Tensor, Tensor]:
    """Predict the latents at a time without a frame, from the frames on both sides of it.

    With ``z = A₀ z₀ + w₀`` and ``z₁ = A₁ z + w₁``: ``z | z₀, z₁ ~ N(B₀ z₀ + B₁ z₁, C)``,
    ``B₁ = Q₀ A₁ᵀ (A₁ Q₀ A₁ᵀ + Q₁)⁻¹``, ``B₀ = (1 − B₁ A₁) A₀``, ``C = (1 − B₁ A₁) Q₀``.

    Args:
        mean: posterior mean of (z₀, z₁), ``(..., 2q)``.
        covariance: posterior covariance, ``(..., 2q, 2q)``.
        before: transition from z₀ to the time of the prediction, ``(..., q, q)``.
        after: transition from there to z₁.

    Returns:
        Mean ``(..., q)`` and covariance ``(..., q, q)``.
    """
    one = torch.eye(before.matrix.shape[-1], dtype=mean.dtype)
    reach = after.matrix @ before.noise
    system = reach @ after.matrix.mT + after.noise
    later = torch.linalg.solve(system, reach).mT
    rest = one - later @ after.matrix
    both = torch.cat([rest @ before.matrix, later], dim=-1)
    spread = rest @ before.noise + both @ covariance @ both.mT
    return _apply(both, mean), (spread + spread.mT) / 2


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None]).squeeze(-1)
