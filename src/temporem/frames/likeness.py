"""Likeness of frames to the mean volume: their intensity, and which do not show the molecule.

With the projection m of the mean volume, a frame y is one of three things.

- The molecule, ``y = a m + noise``, with an intensity a about 1: thickness and dose differ.
- Something else of the molecule's power spectrum J: ``y ~ N(0, n + J)``.
- Nothing: ``y ~ N(0, n)``.

The noise n of a shell is what the mean leaves unexplained. So changes of conformation are in it,
and a frame of the molecule may have more than the average of them. Each half set of movies is
compared with the mean of the other, so no frame is compared with itself. Shares of the three, and
the spread of a, are found by expectation–maximisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.frames.mean_comparison import MeanComparison

_LEAST_SHELLS, _LEAST_FRAMES = 3, 50
_SMALLEST_SPREAD = 0.1  # of intensities; a change of conformation can look like less
_PRIOR_FRAMES = (19.0, 0.5, 0.5)  # counted with the frames: molecule, something else, nothing
_CHANGES = {1.0: 0.99, 1.3: 0.01}  # power of a frame's change of conformation: its chance
_ROUNDS = 30
_MOST_JUNK = 0.5  # of the frames; with more, it is the mean volume that is wrong


@dataclass(frozen=True, eq=False)
class Likeness:
    """Comparison of N frames with the mean volume.

    Attributes:
        scale: posterior mean of the intensity; 1 where all frames have the same, ``(N,)``.
        measured: intensity of a frame on its own, relative to the median, ``(N,)``.
        spread: standard deviation of intensities, beyond what noise gives.
        good: probability that a frame shows the molecule, ``(N,)``.
    """

    scale: Tensor
    measured: Tensor
    spread: float
    good: Tensor

    @property
    def junk(self) -> Tensor:
        """Frames that are more likely not to show the molecule, bool ``(N,)``.

        None where they would be half of all: then poses or contrast are wrong, not the frames.
        """
        junk = self.good < 0.5
        return junk & (junk.double().mean() < _MOST_JUNK)

    @property
    def intensity(self) -> Tensor:
        """Factor of every frame's CTF, 0 at junk, float32 ``(N,)``."""
        return self.scale.where(~self.junk, 0.0).float()

    @property
    def is_even(self) -> bool:
        """True if all frames show the molecule with one intensity."""
        return bool((self.intensity == 1).all())


def judge_frames(
    compared: MeanComparison,
    independent_share: float,
    movies: Iterable[np.ndarray],
    training: Sequence[np.ndarray],
) -> Likeness | None:
    """Judge every frame by its comparison with the mean volume.

    Args:
        compared: frames and the projections of the mean.
        independent_share: share of the coefficients that counts as independent.
        movies: rows of every movie.
        training: rows of the movies that may teach; others are judged by what these taught.

    Returns:
        What was found; None where frames are few, or half sets of the mean have too little in
        common.
    """
    n, share = compared.n_telling, independent_share
    if n < _LEAST_SHELLS or len(compared.image) < _LEAST_FRAMES:
        return None
    sums = replace(
        compared,
        image=compared.image[:, :n],
        cross=compared.cross[:, :n],
        model=compared.model[:, :n],
        counts=compared.counts[:n],
    )
    seen = sums.image.sum(1) > 0
    teaches = torch.zeros_like(seen)
    teaches[torch.from_numpy(np.concatenate(training))] = True
    teaches &= seen
    good = seen.double()
    prior = torch.tensor(_PRIOR_FRAMES, dtype=torch.float64)
    parts = prior / prior.sum()
    for _ in range(_ROUNDS):
        weight = good * teaches
        total = weight.sum().clamp(min=1)
        scale = (weight @ sums.cross).sum() / (weight @ sums.model).sum()
        cross, model = scale * sums.cross, scale**2 * sums.model
        left = weight @ (sums.image - 2 * cross + model) / (total * sums.counts)
        signal = (weight @ model / (total * sums.counts)).clamp(min=1e-6)
        noise = left.clamp(min=1e-6)
        precision = share * (model / noise).sum(1)
        score = share * (cross / noise).sum(1)
        variance = 1 / precision.clamp(min=1e-12)
        measured = score * variance
        spread = _spread(measured, variance, weight)
        width = max(spread, _SMALLEST_SPREAD) ** 2
        molecule = [
            math.log(chance)
            + _evidence(
                sums.image, cross, model, sums.counts, 1 + factor * (noise - 1), share, width
            )
            for factor, chance in _CHANGES.items()
        ]
        something, nothing = (
            -0.5 * share * (sums.image / power + sums.counts * power.log()).sum(1)
            for power in (noise + signal, noise)
        )
        scores = torch.stack(
            [
                torch.stack(molecule).logsumexp(0),
                something,
                nothing,
            ],
            dim=1,
        )
        chances = (scores + parts.log()).softmax(dim=1)
        before, good = good, chances[:, 0] * seen
        sure = chances[teaches].sum(0) + prior
        parts = sure / sure.sum()
        if (good - before).abs().max() < 1e-3:
            break
    beyond = max(spread**2 - _SMALLEST_SPREAD**2, 0.0)
    common = _common_part(measured, variance, weight, movies)
    scale = _smoothed(measured, variance, good, beyond, min(common, beyond), movies)
    return Likeness(scale, measured, spread, good)


def _evidence(
    image: Tensor,
    cross: Tensor,
    model: Tensor,
    counts: Tensor,
    noise: Tensor,
    share: float,
    width: float,
) -> Tensor:
    """Log-likelihood of images of the molecule, intensity ``a ~ N(1, width)`` integrated out."""
    noise = noise.clamp(min=1e-6)
    score, precision = (share * (part / noise).sum(1) for part in (cross, model))
    total = precision + 1 / width
    gain = (score + 1 / width) ** 2 / total - 1 / width - (width * total).log()
    return 0.5 * gain - 0.5 * share * (image / noise + counts * noise.log()).sum(1)


def _spread(measured: Tensor, variance: Tensor, good: Tensor) -> float:
    """Standard deviation of intensities about 1, without that of their noise."""
    weight = good / (variance + _SMALLEST_SPREAD**2)
    excess = (measured - 1).square() - variance
    return float(((weight * excess).sum() / weight.sum().clamp(min=1e-12)).clamp(min=0).sqrt())


def _smoothed(
    measured: Tensor,
    variance: Tensor,
    good: Tensor,
    beyond: float,
    common: float,
    movies: Iterable[np.ndarray],
) -> Tensor:
    """Posterior means of intensities, of which frames of a movie have a common part."""
    scale = torch.ones_like(measured)
    if beyond == 0:
        return scale
    for rows in map(torch.from_numpy, movies):
        rows = rows[good[rows] > 0.5]
        prior = common + (beyond - common) * torch.eye(len(rows), dtype=torch.float64)
        total = prior + torch.diag(variance[rows])
        scale[rows] = 1 + prior @ torch.linalg.solve(total, measured[rows] - 1)
    return scale.clamp(min=0.05)


def _common_part(
    measured: Tensor, variance: Tensor, counted: Tensor, movies: Iterable[np.ndarray]
) -> float:
    """Variance that frames of a movie share: mean product of different frames of a movie."""
    top = bottom = 0.0
    weight = counted / (variance + _SMALLEST_SPREAD**2)
    off = weight * (measured - 1)
    for rows in map(torch.from_numpy, movies):
        top += float(off[rows].sum() ** 2 - off[rows].square().sum())
        bottom += float(weight[rows].sum() ** 2 - weight[rows].square().sum())
    return max(top / max(bottom, 1e-12), 0.0)
