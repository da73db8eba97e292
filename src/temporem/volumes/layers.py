"""Building blocks that the networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualMLP(nn.Module):
    """Linear layer, ``depth`` residual layers ``x ← relu(x + Wx + b)``, linear read-out.

    Args:
        inputs, width, depth, outputs: layer sizes.

    Attributes:
        dtype: arithmetic of the matrix products; None for float32.
    """

    def __init__(self, inputs: int, width: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, outputs)
        self.dtype: torch.dtype | None = None

    def residual_layers(self) -> list[tuple[Tensor, Tensor]]:
        """List ``(1 + W, b)`` of the residual layers: ``(1 + W) x + b`` is a single product."""
        layers = [layer for layer in self.hidden if isinstance(layer, nn.Linear)]
        one = torch.eye(self.last.in_features, device=self.last.weight.device)
        return [(layer.weight + one, layer.bias) for layer in layers]

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Compute float32 ``(..., outputs)`` from ``(..., inputs)``.

        Weights and results are float32 whatever the :attr:`dtype` of the products.

        Args:
            x: inputs.
            bias: added to the first layer, ``(..., width)``.
        """
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype is not None):
            x = self.first(x)
            x = x if bias is None else x + bias.to(x.dtype)  # keeps x in its dtype
            return self.after_first(x, self.residual_layers()).float()

    def after_first(self, x: Tensor, residual_layers: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Apply all layers after the first: ``(..., width)`` → ``(..., outputs)``.

        Args:
            x: values of the first layer, overwritten. They must come from a sum or a product, whose
                gradient does not need them.
            residual_layers: :meth:`residual_layers`, computed once for several calls.
        """
        x = x.relu_()
        for weight, offset in residual_layers:
            x = functional.linear(x, weight, offset).relu_()
        return self.last(x)
