"""A curve or surface of latents in the latent space of a linear model."""

from __future__ import annotations

from torch import Tensor, nn

from temporem.volumes.layers import ResidualMLP

_WIDTH = 64


class LatentCurve(nn.Module):
    """Curve or surface ``c(z) = [z, 0] + MLP(z)`` in the latent space of a linear model.

    The volumes of a motion with one degree of freedom, such as a turn by a large angle, bend
    through several dimensions of a linear model. The MLP starts at 0. From many dimensions to few
    it is the way back: the first few, plus the MLP.

    Args:
        inputs: dimension that it maps from, such as the latent dimension q.
        outputs: dimension that it maps to, such as the components of the linear model.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.added = outputs - inputs
        self.bend = ResidualMLP(inputs, _WIDTH, 1, outputs)
        nn.init.zeros_(self.bend.last.weight)
        nn.init.zeros_(self.bend.last.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``(..., inputs)`` to ``(..., outputs)``."""
        return nn.functional.pad(z, (0, self.added)) + self.bend(z)  # a negative pad crops
