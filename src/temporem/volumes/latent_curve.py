"""A curve or surface of latents in the latent space of a linear model."""

from __future__ import annotations

from torch import Tensor, nn

from temporem.volumes.layers import ResidualMLP

_WIDTH = 64


class LatentCurve(nn.Module):
    """Curve or surface ``c(z) = [z, 0] + MLP(z)`` in the latent space of a linear model.

    The volumes of a motion with one degree of freedom, such as a turn by a large angle, bend
    through several dimensions of a linear model. The MLP starts at 0.

    Args:
        z_dim: latent dimension q.
        components: number of components of the linear model, q at least.
    """

    def __init__(self, z_dim: int, components: int) -> None:
        super().__init__()
        self.added = components - z_dim
        self.bend = ResidualMLP(z_dim, _WIDTH, 1, components)
        nn.init.zeros_(self.bend.last.weight)
        nn.init.zeros_(self.bend.last.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents ``(..., q)`` to latents of the linear model, ``(..., components)``."""
        return nn.functional.pad(z, (0, self.added)) + self.bend(z)
