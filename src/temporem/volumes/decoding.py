"""Fast decoding of many volumes: it shares work and combines similar volumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from temporem.volumes.layers import ResidualMLP

SPAN_TOLERANCE = 0.01
"""Largest error of a volume of a span, as a fraction of the rms motion. Products in bfloat16 alone
make an error of 0.006 to 0.008."""

_ROWS = 1024  # points at a time, per thread: two layers stay in a processor's cache
_ROWS_GPU = 2**17


@torch.no_grad()
def decode(
    mlp: ResidualMLP,
    inputs: Callable[[Tensor], Tensor],
    points: Tensor,
    biases: Tensor,
    dtype: torch.dtype | None,
) -> Tensor:
    """Compute ``mlp(inputs(points), bias)`` for every bias, without gradients.

    All biases share the inputs and their product with the first layer. The other layers treat each
    bias on its own, so that its values do not depend on the others.

    Args:
        mlp: the network.
        inputs: function that gives inputs ``(C, I)`` at points ``(C, 3)``.
        points: ``(P, 3)``.
        biases: biases of the first layer, ``(B, width)``.
        dtype: arithmetic of the matrix products; None for float32.

    Returns:
        Float32 ``(B, P, outputs)``.
    """
    dtype = dtype or torch.float32
    ends = [(layer.weight, layer.bias) for layer in (mlp.first, mlp.last)]
    first, last, *hidden = (
        (weight.to(dtype), bias.to(dtype)) for weight, bias in (*ends, *mlp.residual_layers())
    )
    biases = biases.to(dtype)
    values = points.new_empty(len(biases), len(points), len(last[1]), dtype=torch.float32)
    rows = _ROWS_GPU if points.is_cuda else _ROWS * torch.get_num_threads()
    for start in range(0, len(points), rows):
        shared = functional.linear(inputs(points[start : start + rows]).to(dtype), *first)
        x, y = torch.empty_like(shared), torch.empty_like(shared)
        for i, bias in enumerate(biases):
            torch.add(shared, bias, out=x).relu_()
            for weight, offset in hidden:
                torch.addmm(offset, x, weight.T, out=y)
                x, y = y.relu_(), x
            values[i, start : start + rows] = functional.linear(x, *last)
    return values


@dataclass(frozen=True, eq=False)
class Span:
    """N volumes as combinations of a few: ``V_t = Σ_j w_tj B_j``.

    Attributes:
        basis: Fourier coefficients of the few B_j, complex ``(r, P)``.
        weights: w, ``(N, r)``.
    """

    basis: Tensor
    weights: Tensor

    def volumes(self, index: Tensor) -> Tensor:
        """Compute some of the N volumes, by their index ``(B,)``: complex ``(B, P)``."""
        flat = self.weights[index].to(self.basis.device) @ torch.view_as_real(self.basis).flatten(1)
        return torch.view_as_complex(flat.unflatten(-1, (-1, 2)))


def spanning_rows(samples: Tensor, tolerance: float, most: int) -> tuple[Tensor, Tensor] | None:
    """Find a few rows that span all rows.

    Gram–Schmidt with pivoting: the row that is explained worst joins the few, until all rows are
    explained. A row that resembles no other is therefore among them.

    Args:
        samples: ``(N, M)``.
        tolerance: largest rms of the unexplained part of a row, as a fraction of the rms difference
            of the rows from their mean.
        most: largest number of rows that is worth it.

    Returns:
        Indices of the few, ``(r,)``, and weights ``(N, r)``; None where more than ``most`` are
        needed.
    """
    samples = samples.double()
    motion = (samples - samples.mean(0)).square().sum(1).mean()
    # Rows that are all the same still differ by rounding.
    enough = tolerance**2 * motion + 1e-12 * samples.square().sum(1).mean()
    left = samples.clone()
    chosen: list[int] = []
    while True:
        power, worst = left.square().sum(1).max(0)
        if power <= enough:
            break
        if len(chosen) == most:
            return None
        chosen.append(int(worst))
        direction = left[worst] / power.sqrt()
        left -= (left @ direction)[:, None] * direction
    few = torch.tensor(chosen, dtype=torch.long)
    weights = torch.linalg.lstsq(samples[few].T, samples.T, driver="gelsd").solution.T
    return few, weights.float()
