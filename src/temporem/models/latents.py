"""Inferred latent paths, and the Gaussian arithmetic on them."""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class FrameNoise:
    """Random numbers of the F frames of a batch, or of those that this process computes.

    Numbers are drawn for all and cut, so that they do not depend on who computes what.

    Attributes:
        generator: its state when a batch begins is the same in all processes.
        total: frames of the whole batch; None: those that are asked for.
        own: which of them these are.
    """

    generator: torch.Generator
    total: int | None = None
    own: slice = field(default_factory=lambda: slice(None))

    def normal(self, frames: int, width: int) -> Tensor:
        """Draws from N(0, 1), ``(F, width)``."""
        size = (self.total or frames, width)
        return torch.randn(size, generator=self.generator, device=self.generator.device)[self.own]

    def uniform(self, frames: int) -> Tensor:
        """Draws from [0, 1), ``(F, 1)``."""
        size = (self.total or frames, 1)
        return torch.rand(size, generator=self.generator, device=self.generator.device)[self.own]


def sample_gaussian(mean: Tensor, log_variance: Tensor, noise: Tensor | None) -> Tensor:
    """A draw ``mean + exp(½ log_variance) ε`` of standard normal ε; without it the mean itself."""
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
