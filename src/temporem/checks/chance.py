"""How far numbers may lie apart by chance."""

from __future__ import annotations

from scipy import stats

FALSE_ALARM = 1e-4
"""Chance that a clean dataset, whose noise is independent and Gaussian, is found fault with."""


def furthest(n: float) -> float:
    """Standard deviations that none of n independent Gaussian numbers exceeds, of either sign.

    The chance that one of them does is :data:`FALSE_ALARM`.
    """
    return float(stats.norm.isf(FALSE_ALARM / (2 * max(n, 1))))
