"""Errors of the defocus of movies, measured from the slope of the likelihood about it.

With the projection s of the mean volume, a frame is ``y = a CTF(Δf + δ) s + noise``. About δ = 0
and a = 1 the log-likelihood of a movie has slopes g and curvatures H in a and δ, sums over its
frames. With a integrated out, ``g' = g_δ − (H_aδ/H_aa) g_a`` and ``H' = H_δδ − H_aδ²/H_aa``. So δ
is measured as ``g'/H'`` with a variance of ``1/(s H')``, where the share s of the coefficients
counts as independent. Their mean square beyond that is the variance of the errors, which gives the
prior of each. What all movies share is left out: the window that images are multiplied by looks
like it.

A change of conformation leaves residuals too. It does not know the CTF, so it looks like errors of
astigmatism as often as of defocus. Errors of defocus have to stand out from those of astigmatism.
Each half set of movies is compared with the mean volume of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.mean_comparison import filtered_halves, other_halves, telling_shells
from temporem.frames.source import FrameSource, blocks_of, one_ahead
from temporem.physics.ctf import CTFParameters, ctf_slopes
from temporem.physics.forward import ForwardModel
from temporem.volumes.back_projection import HomogeneousVolume

_LEAST_SHELLS, _LEAST_MOVIES = 4, 10
_SURE = 5.0  # standard errors
_SMALLEST_SD = 100.0  # Å; changes of conformation can look like less
_SAMPLES = 2**17  # Fourier pixels taken at a time


@dataclass(frozen=True, eq=False)
class DefocusErrors:
    """Errors of the defocus of N frames.

    Attributes:
        error_angstrom: posterior mean of given less true defocus, alike in all frames of a movie,
            ``(N,)``.
        sd_angstrom: standard deviation of the errors over movies.
    """

    error_angstrom: Tensor
    sd_angstrom: float


@dataclass(frozen=True, eq=False)
class SeenFrames:
    """Frames as they are corrected so far, with all that forms them.

    Attributes:
        model: image formation.
        source: the frames, on the CPU.
        ctf: parameters of their CTF, ``(N,)``.
        intensity: factor of the CTF of every frame, ``(N,)``.
        whitening: factor of the CTF of every frequency, ``(P,)``.
        rotations: molecule to camera, ``(N, 3, 3)``.
        mean: mean volume with its half sets.
        independent_share: share of the coefficients that counts as independent.
    """

    model: ForwardModel
    source: FrameSource
    ctf: CTFParameters
    intensity: Tensor
    whitening: Tensor
    rotations: Tensor
    mean: HomogeneousVolume
    independent_share: float


def measure_defocus(
    seen: SeenFrames,
    movies: Sequence[np.ndarray],
    training: list[np.ndarray],
    known: DefocusErrors | None = None,
) -> DefocusErrors | None:
    """Measure errors of defocus, where they are more than chance.

    Args:
        seen: the frames.
        movies: rows of every movie.
        training: rows of the movies that the mean volume is made of.
        known: errors that are corrected in ``seen`` already; what is found includes them.

    Returns:
        The errors; ``known`` where nothing speaks for others.
    """
    if telling_shells(seen.mean) < _LEAST_SHELLS or len(movies) < _LEAST_MOVIES:
        return known
    slopes, curvatures = _expand(seen, training)
    g = torch.stack([slopes[movie].sum(0) for movie in movies])  # (M, 3)
    h = torch.stack([curvatures[movie].sum(0) for movie in movies])  # (M, 3, 3)
    across = h[:, 0, 1:] / h[:, :1, 0].clamp(min=1e-30)
    slope = g[:, 1:] - across * g[:, :1]
    information = seen.independent_share * (
        h[:, 1:, 1:].diagonal(dim1=1, dim2=2) - across * h[:, 0, 1:]
    )
    telling = (information > 1e-9 * h[:, 1:, 1:].diagonal(dim1=1, dim2=2)).all(1)
    telling &= information[:, 0] > 0
    if int(telling.sum()) < _LEAST_MOVIES:
        return known
    information = information.where(telling[:, None], 0.0)
    step = seen.independent_share * slope / information.clamp(min=1e-30)
    measured = step.where(telling[:, None], 0.0) * torch.tensor([-1.0, 1.0])
    if known is not None:
        row = torch.tensor([int(movie[0]) for movie in movies])
        measured[:, 0] += known.error_angstrom[row]
    measured -= (information * measured).sum(0) / information.sum(0)
    # 1 on average where noise is all that there is
    chance, of_astigmatism = (measured.square() * information)[telling].mean(0).tolist()
    limit = max(of_astigmatism, 1) * (1 + _SURE * (2 / int(telling.sum())) ** 0.5)
    off, weight = measured[:, 0], information[:, 0]
    # As if errors were alike, every movie tells of their variance with the square of its weight.
    excess = weight.square() * off.square() - weight
    variance = max(float(excess.sum() / weight.square().sum()), 0.0)
    if known is None and (chance < limit or variance < _SMALLEST_SD**2):
        return None
    error = off * variance * weight / (1 + variance * weight)
    found = torch.zeros(len(seen.source), dtype=torch.float64)
    for movie, value in zip(movies, error, strict=True):
        found[torch.from_numpy(movie)] = value
    return DefocusErrors(found, variance**0.5)


def _expand(seen: SeenFrames, training: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Slopes ``(N, 3)`` and curvatures ``(N, 3, 3)`` in amplitude, defocus and astigmatism."""
    model, n = seen.model, len(seen.source)
    radius = telling_shells(seen.mean) - 0.5
    n_pixels = int((model.support.radii < radius).sum())
    half, volumes = other_halves(training, n), filtered_halves(model, seen.mean)
    k = model.frequencies_per_angstrom()[:n_pixels]
    # The same mean square as 1 over directions; 2α is the angle of astigmatism.
    twice = (2 * torch.atan2(k[:, 1], k[:, 0])).cos().float() * 2**0.5
    root = model.support.weights[:n_pixels].sqrt()
    slopes = torch.zeros(n, 3, dtype=torch.float64)
    curvatures = torch.zeros(n, 3, 3, dtype=torch.float64)
    parts = blocks_of(np.arange(n), n_pixels, _SAMPLES)
    frames = one_ahead(
        lambda rows: seen.source.take(rows, n_pixels), parts, in_thread=not seen.source.in_memory
    )
    for part, (images, ctf) in zip(parts, frames, strict=True):
        rows = torch.from_numpy(part)
        both = volumes.slices(model.slice_frequencies(seen.rotations[rows], slice(0, n_pixels)))
        own = half[rows, None, None].expand(-1, n_pixels, 1)
        slices = both.gather(2, own)[..., 0] * root
        gain = seen.intensity[rows, None] * seen.whitening[:n_pixels]
        slope = gain * ctf_slopes(seen.ctf[rows], k).float()
        along = torch.view_as_real(
            torch.stack([slices * ctf, slices * slope, slices * slope * twice], dim=1)
        ).flatten(2)
        left = torch.view_as_real(images * root - slices * ctf).flatten(1)
        slopes[rows] = (along @ left[..., None])[..., 0].double()
        curvatures[rows] = (along @ along.mT).double()
    return slopes, curvatures
