"""Latents in their principal axes."""

from __future__ import annotations

import numpy as np


def principal_axes(latents: np.ndarray) -> np.ndarray:
    """Turn latents ``(n, q)`` into their principal axes, leave out those that do not vary."""
    centred = np.asarray(latents, dtype=np.float64) - np.mean(latents, axis=0)
    _, spread, rows = np.linalg.svd(centred, full_matrices=False)
    varies = spread > 1e-6 * max(spread.max(initial=0.0), np.abs(latents).max(initial=0.0))
    return centred @ rows[varies].T
