"""Random matrices from a seed."""

from __future__ import annotations

import torch
from torch import Tensor


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(q: int, seed: int = 0) -> Tensor:
    """An orthogonal matrix, float64."""
    return torch.linalg.qr(randn(q, q, seed=seed)).Q


def covariance(*shape: int, seed: int = 0) -> Tensor:
    root = randn(*shape, shape[-1], seed=seed)
    return root @ root.mT
