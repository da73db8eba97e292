"""Sums into rows scattered over memory, the slowest part of gridding."""

from __future__ import annotations

import numpy as np
from torch import Tensor

try:  # not a public name; without it the result is the same, but slower
    from scipy.sparse._sparsetools import csc_matvecs
except ImportError:  # pragma: no cover
    csc_matvecs = None


def add_to_rows(rows: Tensor, index: Tensor, weight: Tensor, values: Tensor) -> None:
    """Add ``weight[i, j] · values[i]`` to ``rows[index[i, j]]`` for all i, j, in place, in order.

    It is the product ``Y += A X`` with a sparse A, given by columns. On the CPU SciPy's product is
    five times as fast as :meth:`torch.Tensor.index_add_`, which needs all products in memory.

    Args:
        rows: real ``(V, C)``, contiguous.
        index: int32 or int64 ``(n, j)``.
        weight: ``(n, j)``.
        values: real ``(n, C)``.

    Raises:
        IndexError: there is no such row.
    """
    if csc_matvecs is None or rows.device.type != "cpu":
        spread = values[:, None] * weight[..., None]
        rows.index_add_(0, index.flatten(), spread.flatten(0, 1))
        return
    if index.numel() == 0:
        return
    if index.min() < 0 or index.max() >= len(rows):  # SciPy's product would write anywhere
        raise IndexError(f"rows {int(index.min())} to {int(index.max())} of {len(rows)}")
    n, per_column = index.shape
    # A view: the sums must reach the caller's tensor.
    target = rows.view(-1).numpy()
    entries, factors = index.contiguous().view(-1).numpy(), weight.contiguous().view(-1).numpy()
    ends = np.arange(0, len(entries) + 1, per_column, dtype=entries.dtype)
    right = values.contiguous().view(-1).numpy()
    csc_matvecs(len(rows), n, rows.shape[1], ends, entries, factors, right, target)
