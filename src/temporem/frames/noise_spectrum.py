"""Power spectrum of the noise, told from that of the molecules by the CTF.

What the mean volume leaves unexplained in a shell is noise, which knows no CTF, and changes of
conformation, which are seen through it: ``E|y − m|² = n + c CTF²``. Defocus differs between movies
and CTF² with it, so a regression over frames tells n from c.
"""

from __future__ import annotations

import torch
from torch import Tensor

from temporem.frames.mean_comparison import MeanComparison

_ROUNDS = 4
_DEGREE = 3  # of log n in log k
_LARGEST_ERROR = 0.3  # relative; shells with more are left to the fit
_LEAST_CHANGE = 1.15  # ratio of the largest to the smallest power; noise with less counts as white
_FIRST = 2  # shell; lower ones hold few coefficients and hardly a signal
_MOST_RATIO = 1e4


def noise_spectrum(compared: MeanComparison) -> Tensor | None:
    """Find the power of the noise at integer radii, white noise having 1.

    Returns:
        Float32 ``(R,)``; None for noise that is white as far as one can tell.
    """
    used = compared.image.sum(1) > 0
    if int(used.sum()) < 2 or len(compared.counts) < _FIRST + _DEGREE + 3:
        return None
    left = (compared.image - 2 * compared.cross + compared.model)[used] / compared.counts
    squares = compared.ctf[used] / compared.counts
    power, error = _without_signal(left.clamp(min=1e-12), squares, compared.counts)
    radii = torch.arange(len(power), dtype=torch.float64).clamp(min=1)
    inner = torch.arange(len(power))
    telling = (error < _LARGEST_ERROR * power) & (inner >= _FIRST) & (inner < len(power) - 2)
    if int(telling.sum()) < _DEGREE + 3:
        return None
    basis = torch.stack([radii.log() ** degree for degree in range(_DEGREE + 1)], dim=1)
    root = (power / error)[telling, None]
    fit = torch.linalg.lstsq(root * basis[telling], root[:, 0] * power[telling].log())
    smooth = (basis @ fit.solution).exp()
    # What is left bounds the noise from above; in the lowest shells the fit only extrapolates.
    bound = torch.minimum(smooth, left.mean(0).clamp(min=1e-6))
    smooth = torch.where(inner < _FIRST, bound, smooth)
    return unless_white(smooth.clamp(1 / _MOST_RATIO, _MOST_RATIO).float(), telling)


def unless_white(spectrum: Tensor, telling: Tensor | None = None) -> Tensor | None:
    """The spectrum, or None where it is as good as white.

    Args:
        spectrum: power at integer radii, ``(R,)``.
        telling: radii that count, bool ``(R,)``; None for all but the lowest.
    """
    within = spectrum[_FIRST:] if telling is None else spectrum[telling]
    return None if within.max() < _LEAST_CHANGE * within.min() else spectrum


def _without_signal(left: Tensor, squares: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Regression of the power that is left ``(N, R)`` on CTF²: its value at 0, and the error."""
    weight = torch.ones_like(left)
    power = error = left.mean(0)
    for _ in range(_ROUNDS):
        total = weight.sum(0)
        x = (weight * squares).sum(0) / total
        y = (weight * left).sum(0) / total
        spread = (weight * (squares - x).square()).sum(0).clamp(min=1e-12)
        slope = ((weight * (squares - x) * (left - y)).sum(0) / spread).clamp(min=0)
        power = (y - slope * x).clamp(min=1e-3 * y)
        weight = 1 / (power + slope * squares).square()
        error = (2 / counts * (1 / total + x.square() / spread)).sqrt()
    return power, error
