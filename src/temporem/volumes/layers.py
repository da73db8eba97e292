"""Small building blocks shared by the networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualMLP(nn.Module):
    """Linear layer, ``depth`` residual layers ``x ← relu(x + Wx + b)``, linear read-out.

    Args:
        inputs, width, depth, outputs: layer sizes.
    """

    def __init__(self, inputs: int, width: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, outputs)
        self.dtype: torch.dtype | None = None

    def residual_layers(self) -> list[tuple[Tensor, Tensor]]:
        """``(1 + W, b)`` of every residual layer: ``(1 + W) x + b`` is one product and no sum."""
        layers = [layer for layer in self.hidden if isinstance(layer, nn.Linear)]
        one = torch.eye(self.last.in_features, device=self.last.weight.device)
        return [(layer.weight + one, layer.bias) for layer in layers]

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``(..., inputs)`` → float32 ``(..., outputs)``; ``bias (..., width)`` joins layer one.

        Matrix products run in :attr:`dtype` where it is set, weights and results stay float32.
        """
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype is not None):
            x = self.first(x)
            x = x if bias is None else x + bias.to(x.dtype)  # or all of x is widened
            return self.after_first(x, self.residual_layers()).float()

    def after_first(self, x: Tensor, residual_layers: list[tuple[Tensor, Tensor]]) -> Tensor:
        """What the first layer gives ``(..., width)`` → ``(..., outputs)``; overwrites x.

        Args:
            x: the output of a sum or product: none of these needs it on the way back.
            residual_layers: :meth:`residual_layers`.
        """
        x = x.relu_()
        for weight, offset in residual_layers:
            x = functional.linear(x, weight, offset).relu_()
        return self.last(x)
