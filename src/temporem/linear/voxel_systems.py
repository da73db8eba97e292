"""Small symmetric systems of equations, one in every voxel, solved for all voxels at once."""

from __future__ import annotations

import torch
from torch import Tensor


def solve_symmetric(normal: Tensor, precision: Tensor, right: Tensor) -> Tensor:
    """Solve ``(N + Λ) x = b`` in every voxel by Gaussian elimination, vectorised over voxels.

    Args:
        normal: N, positive semi-definite, by pairs: ``(V, K (K + 1) / 2)``.
        precision: diagonal of Λ, positive: ``(V, K)``.
        right: b, complex ``(V, K)``.

    Returns:
        x, complex ``(V, K)``.
    """
    size = right.shape[1]
    i, j = torch.triu_indices(size, size).tolist()
    entries: dict[tuple[int, int], Tensor] = {}
    for column, pair in enumerate(zip(i, j, strict=True)):
        entries[pair] = normal[:, column]
    for k in range(size):
        entries[k, k] = entries[k, k] + precision[:, k]
    x = list(right.unbind(1))
    for k in range(size):
        for row in range(k + 1, size):
            factor = entries[k, row] / entries[k, k]
            for column in range(row, size):
                entries[row, column] = entries[row, column] - factor * entries[k, column]
            x[row] = x[row] - factor * x[k]
    for k in reversed(range(size)):
        for column in range(k + 1, size):
            x[k] = x[k] - entries[k, column] * x[column]
        x[k] = x[k] / entries[k, k]
    return torch.stack(x, dim=1)


def multiply_symmetric(normal: Tensor, precision: Tensor, x: Tensor) -> Tensor:
    """Compute ``(N + Λ) x`` in every voxel; arguments as in :func:`solve_symmetric`."""
    size = x.shape[1]
    product = precision * x
    for column, (i, j) in enumerate(zip(*torch.triu_indices(size, size).tolist(), strict=True)):
        product[:, i] += normal[:, column] * x[:, j]
        if i != j:
            product[:, j] += normal[:, column] * x[:, i]
    return product
