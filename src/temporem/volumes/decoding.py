"""Many volumes from one network: what they share is computed once, what they resemble is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from temporem.volumes.layers import ResidualMLP

SPAN_TOLERANCE = 0.01
"""Of the rms motion: how far off the worst volume of a span may be. Products in bfloat16 make every
volume 0.006 to 0.008 off."""

_ROWS = 1024  # points at a time and thread: activations of two layers stay in a processor's cache
_ROWS_GPU = 2**17


@torch.no_grad()
def decode(
    mlp: ResidualMLP,
    inputs: Callable[[Tensor], Tensor],
    points: Tensor,
    biases: Tensor,
    dtype: torch.dtype | None,
) -> Tensor:
    """``mlp(inputs(points), bias)`` for every bias, without gradients.

    The inputs and what the first layer makes of them serve all biases. Every bias is then taken on
    its own, so that its values do not depend on the others.

    Args:
        mlp: the network.
        inputs: its inputs ``(C, I)`` at points ``(C, 3)``.
        points: ``(P, 3)``.
        biases: of the first layer, ``(B, width)``.
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
        basis: coefficients of the few, complex ``(r, P)``.
        weights: ``(N, r)``.
    """

    basis: Tensor
    weights: Tensor

    def volumes(self, index: Tensor) -> Tensor:
        """Coefficients of some of the N volumes, by their index ``(B,)``: complex ``(B, P)``."""
        flat = self.weights[index].to(self.basis.device) @ torch.view_as_real(self.basis).flatten(1)
        return torch.view_as_complex(flat.unflatten(-1, (-1, 2)))


def spanning_rows(samples: Tensor, tolerance: float, most: int) -> tuple[Tensor, Tensor] | None:
    """A few rows of which all rows are combinations.

    The row that is worst explained joins until all are explained, so one that is like no other is
    among the few.

    Args:
        samples: ``(N, M)``.
        tolerance: rms of what may be left of any row, in units of the rms over all rows of their
            differences from the mean row.
        most: more rows than these are not worth it.

    Returns:
        Indices of the few, ``(r,)``, and weights ``(N, r)``; None where more than ``most`` are
        needed.
    """
    samples = samples.double()
    motion = (samples - samples.mean(0)).square().sum(1).mean()
    # Rows that do not move at all are still rounded.
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
