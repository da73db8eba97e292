"""Do the rings in the images' spectra lie where the CTF columns put them?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence
from temporem.frames.source import blocks_of

_MOST_FRAMES = 2000
_FAR = 4.0  # standard errors
_HALF = 0.5
_UNSURE = 0.1  # standard error above which no verdict is given


class ThonRings:
    """Compares spectra with CTF² (Thon 1966).

    The power of a frame is ``S(|k|) CTF²(k) + 1`` with the power S of the molecule and noise 1.
    Within a shell, deviations of the power from its mean over frames and pixels are regressed on
    those of ``S CTF²``. The slope is 1 if the columns are right and 0 if they have nothing to do
    with the images. Its error comes from leaving out one movie after the other.
    """

    name = "Thon rings"

    def look(self, evidence: Evidence) -> list[Finding]:
        slope, error = measure_slope(evidence)
        if not np.isfinite(slope) or error > _UNSURE:
            text = "signal is too weak, or CTFs are too alike, to compare spectra with the CTF"
            return [Finding(self.name, Verdict.UNKNOWN, text)]
        text = (
            f"power of frames follows CTF² with a slope of {slope:.2f} ± {error:.2f} "
            "(right columns: 1, columns of other images: 0)"
        )
        if slope + _FAR * error < _HALF:
            remedy = "check defocus, voltage, spherical aberration and pixel size"
            return [Finding(self.name, Verdict.WARNING, text, remedy)]
        return [Finding(self.name, Verdict.GOOD, text)]


def measure_slope(evidence: Evidence) -> tuple[float, float]:
    """Slope of the power on ``S CTF²`` and its standard error; NaN where there is no signal."""
    chosen = _chosen_movies(evidence.dataset.movies)
    if len(chosen) < 3:
        return float("nan"), float("inf")
    shells = evidence.forward_model.support
    sums, squares = _power_and_ctf(evidence, chosen)
    n = sum(map(len, chosen))
    power, passed = shells.shell_means(sums / n), shells.shell_means(squares / n)
    signal = ((power - 1) / passed.clamp(min=1e-3)).clamp(min=0)
    signal[:2] = 0  # there the background sits
    weight = signal / power.square().clamp(min=1e-6)
    inside = shells.shells < shells.n_shells
    index = shells.shells[inside]
    above = np.zeros(len(chosen))
    below = np.zeros(len(chosen))
    for i, movie in enumerate(chosen):
        for block in blocks_of(movie, len(shells)):
            frames, ctf = evidence.frames.take(block)
            measured = frames.abs().square()[:, inside].double() - power[index]
            expected = ctf.square()[:, inside].double() - passed[index]
            above[i] += float((weight[index] * measured * expected).sum())
            below[i] += float((weight[index] * signal[index] * expected.square()).sum())
    if below.sum() <= 0:
        return float("nan"), float("inf")
    slope = above.sum() / below.sum()
    without = (above.sum() - above) / np.maximum(below.sum() - below, 1e-30)
    error = float(np.sqrt((len(chosen) - 1) * np.mean((without - without.mean()) ** 2)))
    return float(slope), error


def _chosen_movies(movies: list[np.ndarray]) -> list[np.ndarray]:
    """Every n-th movie, so that there are few enough frames."""
    step = max(1, round(sum(map(len, movies)) / _MOST_FRAMES))
    return movies[::step]


def _power_and_ctf(evidence: Evidence, movies: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Sums over frames of power and of CTF², float64 ``(P,)``."""
    n = len(evidence.forward_model.support)
    sums, squares = torch.zeros(2, n, dtype=torch.float64)
    for block in blocks_of(np.concatenate(movies), n):
        frames, ctf = evidence.frames.take(block)
        sums += frames.abs().square().double().sum(0)
        squares += ctf.square().double().sum(0)
    return sums, squares
