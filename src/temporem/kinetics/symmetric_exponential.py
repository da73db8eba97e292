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
        scaled = values[..., None, :] * times[:, None]  # (..., G, K)
        beside = vectors[..., None, :, :]
        return (beside * scaled.exp()[..., None, :]) @ beside.mT

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        values, vectors, times = ctx.saved_tensors
        beside = vectors[..., None, :, :]
        turned = beside.mT @ slope @ beside
        scaled = values[..., None, :] * times[:, None]
        one, other = scaled[..., :, None], scaled[..., None, :]
        size = (one - other).abs()
        lower, upper = torch.minimum(one, other).exp(), torch.maximum(one, other).exp()
        near = lower * torch.expm1(size.clamp(max=1)) / size.clamp(min=_NEAR)
        far = (upper - lower) / size.clamp(min=1)
        quotient = torch.where(size > 1, far, torch.where(size > _NEAR, near, lower))
        inner = (quotient * times[:, None, None] * turned).sum(-3)
        return vectors @ inner @ vectors.mT, None


def symmetric_exponential(matrix: Tensor, times: Tensor) -> Tensor:
    """Compute ``exp(A t)`` of symmetric A ``(..., K, K)`` at times ``(G,)``: ``(..., G, K, K)``.

    Derivatives are those by A; times are fixed.
    """
    found: Tensor = _Exponential.apply(matrix, times)
    return found
