"""Fourier shell correlation and the resolution read from it.

``FSC(s) = Re Σ_{k∈s} conj(A(k)) B(k) / sqrt(Σ_{k∈s} |A(k)|² · Σ_{k∈s} |B(k)|²)``

over integer shells ``s = round(|k|)`` (Harauz and van Heel 1986). Shell 0 is 1 by definition: it
holds the mean, which carries no information on structure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from temporem.physics.fourier import FourierSupport

TRUTH_THRESHOLD = 0.5
"""For a map against the truth: a quarter of the map's power in that shell is signal."""

HALF_MAP_THRESHOLD = 0.143
"""For maps of two independent half sets, 1/7: the full map then has an FSC of 0.5 against the truth
(Rosenthal and Henderson 2003). Half sets are independent if no movie has frames in both."""


class Resolution(NamedTuple):
    """Resolution of one or more FSC curves.

    Attributes:
        angstrom: box · pixel size / crossing shell; Nyquist where the curve never crosses.
        never_crossed: true where the curve stays at or above the threshold up to Nyquist.
    """

    angstrom: np.ndarray
    never_crossed: np.ndarray


def fourier_shell_correlation(first: Tensor, second: Tensor, support: FourierSupport) -> Tensor:
    """FSC of volumes that are given by their Fourier coefficients.

    Args:
        first, second: complex ``(..., P)`` on ``support``.
        support: the frequencies of the coefficients.

    Returns:
        Float64 ``(..., n_shells)``; a shell in which either volume has no power has FSC 0.

    Example:
        >>> support = tm.FourierSupport(32, 3)
        >>> half_maps = support.fft(torch.randn(2, 32, 32, 32))
        >>> tm.fourier_shell_correlation(half_maps[0], half_maps[1], support).shape
        torch.Size([16])
    """
    # Double precision: a shell sums over ten thousand coefficients, and many FSCs are near 1.
    cross = support.shell_sums((first.conj() * second).real.double())
    fsc = shell_correlation(cross, power_spectrum(first, support), power_spectrum(second, support))
    fsc[..., 0] = 1.0
    return fsc


def shell_correlation(cross: Tensor, first_power: Tensor, second_power: Tensor) -> Tensor:
    """FSC from sums over shells; a shell in which either volume has no power has FSC 0.

    The sums may be over any grid, and means serve as well.

    Args:
        cross: ``Re Σ_{k∈s} conj(A(k)) B(k)``.
        first_power, second_power: ``Σ_{k∈s} |A(k)|²`` and ``Σ_{k∈s} |B(k)|²``.
    """
    power = first_power * second_power
    return (cross / power.sqrt()).where(power != 0, 0.0)


def power_spectrum(coefficients: Tensor, support: FourierSupport) -> Tensor:
    """``Σ_{k∈s} |X(k)|²`` of complex ``(..., P)``: float64 ``(..., n_shells)``."""
    # Not abs().square(), whose square root takes longer than all the rest.
    squares = coefficients.real.square() + coefficients.imag.square()
    return support.shell_sums(squares.double())


def crossing_shell(fsc: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Find where FSC curves first fall below a threshold, linear between shells.

    Args:
        fsc: curves from shell 0, which is taken as 1, to Nyquist − 1, ``(..., n_shells)``.
        threshold: between 0 and 1, exclusive.

    Returns:
        Fractional shell, Nyquist (``n_shells``) where a curve never falls below; and true where it
        never does: ``(...,)`` each.
    """
    fsc = np.array(fsc, dtype=np.float64)
    # Shell 0 is 1 by definition, so that no curve crosses before shell 1.
    fsc[..., 0] = 1.0
    below = fsc < threshold
    never = np.asarray(~below.any(-1))
    after = np.where(never, 1, below.argmax(-1))[..., None]
    high = np.take_along_axis(fsc, after - 1, -1)[..., 0]
    low = np.take_along_axis(fsc, after, -1)[..., 0]
    # Curves that never cross have an arbitrary pair of shells here, perhaps with equal values.
    step = np.where(never, 0.0, (high - threshold) / np.where(never, 1.0, high - low))
    return np.where(never, float(fsc.shape[-1]), after[..., 0] - 1 + step), never


def resolution(fsc: np.ndarray, threshold: float, pixel_size_angstrom: float) -> Resolution:
    """Resolution of FSC curves ``(..., n_shells)`` at a threshold: ``(...,)``, Å.

    Example:
        >>> curve = np.array([1, 0.9, 0.7, 0.4, 0.1, 0, 0, 0])
        >>> round(float(tm.resolution(curve, 0.5, pixel_size_angstrom=4).angstrom), 2)
        24.0
    """
    fsc = np.asarray(fsc)
    shell, never = crossing_shell(fsc, threshold)
    box = 2 * fsc.shape[-1]
    return Resolution(box * pixel_size_angstrom / shell, never)


def area_under_curve(fsc: np.ndarray) -> np.ndarray:
    """Mean FSC over shells 1 … Nyquist − 1: ``(..., n_shells)`` → ``(...,)``, at most 1."""
    return np.asarray(fsc)[..., 1:].mean(-1)
