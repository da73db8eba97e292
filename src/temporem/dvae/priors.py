"""Priors of latent paths."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StandardPrior(nn.Module):
    """Prior ``z_t ~ N(0, 1)`` of every frame, the paper's choice (TEMPOR Eq. 11)."""

    def forward(
        self, previous: Tensor | None, log_gap: Tensor, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give mean and log-variance of z_t, both shaped as ``like (..., q)``."""
        return torch.zeros_like(like), torch.zeros_like(like)


class GatedTransition(nn.Module):
    """Learned prior ``z_1 ~ N(m₁, v₁)``, ``z_t ~ N(μ(z_{t−1}), v(z_{t−1}))``.

    The transition is gated (Krishnan et al. 2017): ``μ = (1 − g) ⊙ (Wz + b) + g ⊙ h(z)`` with gate
    ``g(z)`` and proposal ``h(z)``. ``W`` starts at the identity; ``log v`` is a linear function of
    the rectified proposal. Both also see the logarithm of the time Δ since the frame before. At
    first v grows with Δ, as in diffusion.

    Args:
        z_dim: latent dimension q.
        width: hidden units of gate and proposal.
    """

    def __init__(self, z_dim: int, width: int = 32) -> None:
        super().__init__()
        self.first_mean = nn.Parameter(torch.zeros(z_dim))
        self.first_log_variance = nn.Parameter(torch.zeros(z_dim))
        gate = nn.Linear(width, z_dim)
        self.gate = nn.Sequential(nn.Linear(z_dim + 1, width), nn.ReLU(), gate)
        self.proposal = nn.Sequential(
            nn.Linear(z_dim + 1, width), nn.ReLU(), nn.Linear(width, z_dim)
        )
        self.linear = nn.Linear(z_dim, z_dim)
        self.log_variance = nn.Linear(z_dim, z_dim)
        self.diffusion = nn.Parameter(torch.ones(z_dim))
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(z_dim))
            self.linear.bias.zero_()
            gate.bias.fill_(-2.0)  # mostly linear at first
            self.log_variance.weight.mul_(0.1)
            self.log_variance.bias.fill_(-1.0)

    def forward(
        self, previous: Tensor | None, log_gap: Tensor, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give mean and log-variance of z_t, ``(..., q)``, after ``previous``, z_{t−1}.

        The first frame of a movie has no previous one. ``log_gap (..., 1)`` is log Δ.
        """
        if previous is None:
            return self.first_mean.expand_as(like), self.first_log_variance.expand_as(like)
        seen = torch.cat([previous, log_gap], dim=-1)
        gate, proposal = torch.sigmoid(self.gate(seen)), self.proposal(seen)
        mean = (1 - gate) * self.linear(previous) + gate * proposal
        log_variance = self.log_variance(torch.relu(proposal)) + self.diffusion * log_gap
        return mean, log_variance.clamp(-12, 4)
