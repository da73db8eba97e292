"""Sums into rows that lie scattered over memory, which is where gridding spends its time."""

from __future__ import annotations

import numpy as np
from torch import Tensor

try:  # not a public name: where a release of SciPy lacks it, all is as right, and slower
    from scipy.sparse._sparsetools import csc_matvecs
except ImportError:  # pragma: no cover
    csc_matvecs = None


def add_to_rows(rows: Tensor, index: Tensor, weight: Tensor, values: Tensor) -> None:
    """``rows[index[i, j]] += weight[i, j] · values[i]`` for all i, j, in place and in this order.

    That is ``Y += A X`` with A sparse, given by columns. On the CPU SciPy's product is five times
    as fast as :meth:`torch.Tensor.index_add_`, which is given all products before they are summed
    and spends longer on finding a row than on adding to it.

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
    if index.min() < 0 or index.max() >= len(rows):  # the product itself would write anywhere
        raise IndexError(f"rows {int(index.min())} to {int(index.max())} of {len(rows)}")
    n, per_column = index.shape
    # A view, or the sums would be lost.
    target = rows.view(-1).numpy()
    entries, factors = index.contiguous().view(-1).numpy(), weight.contiguous().view(-1).numpy()
    ends = np.arange(0, len(entries) + 1, per_column, dtype=entries.dtype)
    right = values.contiguous().view(-1).numpy()
    csc_matvecs(len(rows), n, rows.shape[1], ends, entries, factors, right, target)
