"""Diagonal Gaussians: draws by reparametrisation, and divergences."""

from __future__ import annotations

from torch import Tensor


def sample_gaussian(mean: Tensor, log_variance: Tensor, noise: Tensor | None) -> Tensor:
    """Draw ``mean + exp(½ log_variance) ε`` with ε the noise; without noise, return the mean.

    The reparametrisation of Kingma and Welling (2014).
    """
    return mean if noise is None else mean + (0.5 * log_variance).exp() * noise


def gaussian_kl(
    mean: Tensor, log_variance: Tensor, prior_mean: Tensor, prior_log_variance: Tensor
) -> Tensor:
    """Kullback–Leibler divergence of diagonal Gaussians, nats: ``(..., q)`` → ``(...)``.

    ``KL(N(m, v) ‖ N(m₀, v₀)) = ½ Σ [log v₀/v + (v + (m − m₀)²)/v₀ − 1]``
    """
    ratio = (log_variance - prior_log_variance).exp()
    distance = (mean - prior_mean).square() * (-prior_log_variance).exp()
    return 0.5 * (prior_log_variance - log_variance + ratio + distance - 1).sum(-1)
