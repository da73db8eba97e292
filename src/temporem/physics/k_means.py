"""Groups of points that lie near each other, by k-means (Lloyd 1982)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SAME = 1e-6
"""Distance below which points count as one, of their largest standard deviation."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Points in groups.

    Attributes:
        centres: float64 ``(k, q)``.
        label: group of every point, from 0, int64 ``(n,)``.
    """

    centres: np.ndarray
    label: np.ndarray

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Group whose centre is nearest to each of some points ``(m, q)``: int64 ``(m,)``."""
        away = np.linalg.norm(points[:, None] - self.centres, axis=2)
        return np.asarray(away.argmin(axis=1))


def n_different(points: np.ndarray) -> int:
    """Count the points ``(n, q)`` that differ from one another by more than rounding."""
    away = np.asarray(points, dtype=np.float64) - np.mean(points, axis=0, dtype=np.float64)
    spread = float(away.std(axis=0).max(initial=0.0))
    return 1 if spread == 0 else len(np.unique(np.round(away / (_SAME * spread)), axis=0))


def k_means(points: np.ndarray, most: int, *, starts: int, seed: int = 0) -> Groups:
    """Group points, into no more groups than there are different points.

    Args:
        points: ``(n, q)``, at least one.
        most: number of groups, if there are as many different points.
        starts: random starts; the best one counts.
        seed: of the starts; the same seed gives the same groups.
    """
    from sklearn.cluster import KMeans  # a second to import, which few runs need

    k = min(most, n_different(points))
    found = KMeans(k, n_init=starts, random_state=seed).fit(np.asarray(points, dtype=np.float64))
    return Groups(found.cluster_centers_, found.labels_.astype(np.int64))
