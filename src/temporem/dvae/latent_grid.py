"""Latents of frames from the volumes of a generator, on a grid of one latent."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.latents import PLACES
from temporem.dvae.model import MovieVAE
from temporem.dvae.smoothing import smoothed, unsmoothed
from temporem.frames.frames import Frames
from temporem.frames.source import groups_of
from temporem.volumes.linear_started import LinearStarted
from temporem.volumes.low_slices import LowSlices, low_grid
from temporem.volumes.model import TRAINING_RESOLUTION

_MARGIN = 0.15  # of the range of latents, at either end
_FRAMES = 64  # at a time
_VOXELS = 2**24  # of volumes that are sliced at a time
_LEAST_RADIUS = 8  # cycles per box that tell latents apart, whatever the resolution


def latent_grid(generator: LinearStarted) -> Tensor:
    """Make the grid of a generator with one latent, ``(G,)``: where it started, and a margin."""
    return grid_over(generator.reach[:, 0])


def grid_over(latents: Tensor) -> Tensor:
    """Make the grid over the range of latents ``(N,)``, and a margin, ``(G,)``."""
    least, most = latents.aminmax()
    margin = _MARGIN * (most - least)
    share = torch.linspace(0, 1, PLACES).to(latents)
    return least - margin + (most - least + 2 * margin) * share


def moments_on_grid(probability: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Compute means and variances ``(N, 1)`` of posteriors ``(N, G)``; 0 and 1 without one."""
    mean, spacing = probability @ places, places[1] - places[0]
    spread = (probability * (places - mean[:, None]).square()).sum(1) + spacing.square() / 12
    known = probability.sum(1) > 0
    return mean[:, None], torch.where(known, spread, 1.0)[:, None]


@torch.no_grad()
def latents_on_grid(
    model: MovieVAE,
    encoded: EncodedFrames,
    movies: list[np.ndarray],
    resolution: float = TRAINING_RESOLUTION,
) -> dict[str, Tensor]:
    """Find the posterior of the latent of every frame of some movies.

    Images count as many independent coefficients as they have, as in the bound.

    Args:
        model: the model; its generator has one latent.
        encoded: the frames.
        movies: rows of every movie, in order of time.
        resolution: highest frequency that tells latents apart, as a part of Nyquist.

    Returns:
        ``mean`` and ``variance`` ``(N, 1)`` and ``probability`` ``(N, G)`` by name; 0, with
        variance 1, in other frames.
    """
    frames = encoded.frames
    assert isinstance(model.generator, LinearStarted)
    places = latent_grid(model.generator)
    likelihood = grid_log_likelihood(model, frames, movies, places, resolution)
    probability = posterior_on_grid(model, frames, movies, places, likelihood)
    mean, variance = moments_on_grid(probability, places)
    return {"mean": mean, "variance": variance, "probability": probability}


def posterior_on_grid(
    model: MovieVAE,
    frames: Frames,
    movies: list[np.ndarray],
    places: Tensor,
    log_likelihood: Tensor,
) -> Tensor:
    """Compute posteriors from likelihoods ``(N, G)``: of single frames in a static model, or of
    frames in their movies; ``(N, G)``, 0 in frames of no movie.
    """
    if model.kind == "static":
        return unsmoothed(log_likelihood, movies)
    return smoothed(log_likelihood, movies, frames.interval_index, frames.intervals, places)


@torch.no_grad()
def grid_log_likelihood(
    model: MovieVAE,
    frames: Frames,
    movies: list[np.ndarray],
    places: Tensor,
    resolution: float = TRAINING_RESOLUTION,
) -> Tensor:
    """Score every frame of some movies with the volume at every place.

    Args:
        model: the model; its generator has one latent.
        frames: N frames.
        movies: rows of every movie, in order of time.
        places: latents ``(G,)``.
        resolution: highest frequency, as a part of Nyquist.

    Returns:
        Log-likelihoods up to a constant of the frame, nats ``(N, G)``; 0 in other frames.
    """
    support = frames.forward_model.support
    radius = max(resolution * support.box / 2, _LEAST_RADIUS)
    n_pixels = int((support.radii <= radius).sum())
    found = torch.zeros(len(frames), len(places), device=frames.device)
    each = math.prod(low_grid(support.box, radius, frames.device).shape)
    at_a_time = max(1, _VOXELS // each)
    for first in range(0, len(places), at_a_time):
        part = slice(first, first + at_a_time)
        slices = LowSlices.of(model.generator, places[part, None], radius)
        found[:, part] = scored_slices(model, frames, movies, slices, n_pixels)
    return frames.statistics.independent_share * found


@torch.no_grad()
def scored_slices(
    model: MovieVAE, frames: Frames, movies: list[np.ndarray], slices: LowSlices, n_pixels: int
) -> Tensor:
    """Score every frame of some movies with each of G volumes: ``(N, G)``, all pixels counted."""
    found = torch.zeros(len(frames), slices.rows.shape[1], device=frames.device)
    own = frames.processes.share(movies)
    for batch in frames.batches(groups_of(own, _FRAMES), n_pixels):
        found[batch.rows.to(found.device)] = model.scored_volumes(batch, slices)
    frames.processes.add(found)
    return found


def drawn_from_grid(probability: Tensor, places: Tensor, which: Tensor, within: Tensor) -> Tensor:
    """Draw latents from their posteriors.

    Args:
        probability: ``(F, G)``.
        places: the grid, ``(G,)``.
        which, within: random numbers between 0 and 1, ``(F, 1)``: they choose the place, and the
            latent around it.

    Returns:
        ``(F, 1)``.
    """
    cumulative = probability.cumsum(1)
    chosen = torch.searchsorted(cumulative, which * cumulative[:, -1:])
    chosen = chosen.clamp(max=len(places) - 1)
    return places[chosen] + (places[1] - places[0]) * (within - 0.5)
