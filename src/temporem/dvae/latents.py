"""Inferred latents of frames."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

PLACES = 48
"""Latents on the grid of :mod:`temporem.dvae.latent_grid`."""


@dataclass(frozen=True)
class Latents:
    """Latents of F frames; all ``(F, q)`` except the divergence.

    Attributes:
        z: draw from the posterior, or its mean where inference is deterministic.
        mean, log_variance: diagonal Gaussian posterior, given the draw for the frame before. Where
            inference is deterministic, its variance includes what is not known of that frame.
        kl: Kullback–Leibler divergence from the prior, nats per frame, ``(F,)``.
    """

    z: Tensor
    mean: Tensor
    log_variance: Tensor
    kl: Tensor

    def cpu(self) -> Latents:
        """Copy to the CPU."""
        return Latents(self.z.cpu(), self.mean.cpu(), self.log_variance.cpu(), self.kl.cpu())

    @property
    def variance(self) -> Tensor:
        """Variance of the posterior, ``(F, q)``."""
        return self.log_variance.exp()

    @property
    def sd(self) -> Tensor:
        """Standard deviation of the posterior, ``(F, q)``."""
        return (0.5 * self.log_variance).exp()
