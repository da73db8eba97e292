"""Inferred latent paths."""

from __future__ import annotations

from dataclasses import dataclass

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
