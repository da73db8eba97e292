"""Latents in their principal axes."""

from __future__ import annotations

import numpy as np


def principal_axes(latents: np.ndarray) -> np.ndarray:
    """Turn latents ``(n, q)`` into their principal axes, leave out those that do not vary."""
    return _centred(latents) @ axes_of(latents).T


def axes_of(latents: np.ndarray) -> np.ndarray:
    """Find the principal axes along which latents ``(n, q)`` vary, as rows ``(q', q)``."""
    _, spread, rows = np.linalg.svd(_centred(latents), full_matrices=False)
    varies = spread > 1e-6 * max(spread.max(initial=0.0), np.abs(latents).max(initial=0.0))
    return rows[varies]


def _centred(latents: np.ndarray) -> np.ndarray:
    return np.asarray(latents, dtype=np.float64) - np.mean(latents, axis=0)
