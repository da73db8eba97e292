"""Exponentials of a symmetric matrix at many times, from one eigendecomposition."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_NEAR = 1e-9


class _Exponential(torch.autograd.Function):
    """Derivatives by the formula of Daleckii and Krein (1965), which equal eigenvalues suit."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, times: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        ctx.save_for_backward(values, vectors, times)
        return (vectors * (values * times[:, None]).exp()[:, None, :]) @ vectors.mT

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors, times = ctx.saved_tensors
        turned = vectors.mT @ slope @ vectors
        scaled = values * times[:, None]  # (G, K)
        gap = scaled[:, :, None] - scaled[:, None, :]
        lower = torch.minimum(scaled[:, :, None], scaled[:, None, :]).exp()
        size = gap.abs()
        ratio = torch.where(size > _NEAR, torch.expm1(size) / size.clamp(min=_NEAR), 1.0)
        # Where the larger one is far above the smaller, the quotient overflows and times 0 is NaN.
        upper = torch.maximum(scaled[:, :, None], scaled[:, None, :]).exp()
        far = (upper - lower) / size.clamp(min=_NEAR)
        quotient = torch.where(size > 1, far, lower * ratio.clamp(max=10.0)) * times[:, None, None]
        by_matrix = vectors @ (quotient * turned).sum(0) @ vectors.mT
        by_times = (turned.diagonal(dim1=-2, dim2=-1) * values * scaled.exp()).sum(-1)
        return by_matrix, by_times


def symmetric_exponential(matrix: Tensor, times: Tensor) -> Tensor:
    """Compute ``exp(A t)`` for a symmetric A ``(K, K)`` and times ``(G,)``: ``(G, K, K)``."""
    found: Tensor = _Exponential.apply(matrix, times)
    return found
