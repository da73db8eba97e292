"""Small building blocks shared by the networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``(..., inputs)`` → float32 ``(..., outputs)``; ``bias (..., width)`` joins layer one.

        Matrix products run in :attr:`dtype` where it is set, weights and results stay float32.
        """
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype is not None):
            x = self.first(x)
            x = torch.relu(x if bias is None else x + bias.to(x.dtype))  # or all of x is widened
            for layer in self.hidden:
                x = torch.relu(x + layer(x))
            return self.last(x).float()
