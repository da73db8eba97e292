"""Inferred latent paths, and the Gaussian arithmetic on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """A latent path for F frames, all of shape ``(F, q)`` but ``kl (F,)``.

    Attributes:
        z: a draw from the posterior, or its mean when inference is deterministic.
        mean, log_variance: of the diagonal Gaussian posterior, given the path so far.
        kl: Kullback–Leibler divergence from the prior, nats per frame.
    """

    z: Tensor
    mean: Tensor
    log_variance: Tensor
    kl: Tensor


def sample_gaussian(
    mean: Tensor, log_variance: Tensor, generator: torch.Generator | None
) -> Tensor:
    """A draw ``mean + exp(½ log_variance) ε``; without generator the mean itself."""
    if generator is None:
        return mean
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + (0.5 * log_variance).exp() * noise


def gaussian_kl(
    mean: Tensor, log_variance: Tensor, prior_mean: Tensor, prior_log_variance: Tensor
) -> Tensor:
    """Kullback–Leibler divergence of diagonal Gaussians, nats: ``(..., q)`` → ``(...)``.

    ``KL(N(m, v) ‖ N(m₀, v₀)) = ½ Σ [log v₀/v + (v + (m − m₀)²)/v₀ − 1]``
    """
    ratio = (log_variance - prior_log_variance).exp()
    distance = (mean - prior_mean).square() * (-prior_log_variance).exp()
    return 0.5 * (prior_log_variance - log_variance + ratio + distance - 1).sum(-1)
