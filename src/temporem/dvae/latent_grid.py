"""Latents of frames from the volumes of a generator, on a grid of one latent."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.model import MovieVAE
from temporem.dvae.smoothing import smoothed, unsmoothed
from temporem.frames.source import groups_of
from temporem.volumes.linear_started import LinearStarted

PLACES = 48
"""Latents on the grid."""

_MARGIN = 0.15  # of the range of latents, at either end
_FRAMES = 64  # at a time
_RESOLUTION = (0.35, 8)  # what tells latents apart: part of Nyquist, or cycles per box if more


def latent_grid(generator: LinearStarted) -> Tensor:
    """Make the grid of a generator with one latent, ``(G,)``: where it started, and a margin."""
    least, most = generator.reach[:, 0]
    margin = _MARGIN * (most - least)
    share = torch.linspace(0, 1, PLACES).to(least)
    return least - margin + (most - least + 2 * margin) * share


@torch.no_grad()
def latents_on_grid(
    model: MovieVAE, encoded: EncodedFrames, movies: list[np.ndarray]
) -> dict[str, Tensor]:
    """Find the posterior of the latent of every frame of some movies.

    Images count as many independent coefficients as they have, as in the bound.

    Args:
        model: the model; its generator has one latent.
        encoded: the frames.
        movies: rows of every movie, in order of time.

    Returns:
        ``mean`` and ``variance`` ``(N, 1)`` and ``probability`` ``(N, G)`` by name; 0, with
        variance 1, in other frames.
    """
    frames, n = encoded.frames, len(encoded)
    assert isinstance(model.generator, LinearStarted)
    places, support = latent_grid(model.generator), frames.forward_model.support
    radius = max(_RESOLUTION[0] * support.box / 2, _RESOLUTION[1])
    n_pixels = int((support.radii <= radius).sum())
    likelihood = torch.zeros(n, len(places), device=encoded.device)
    own = frames.processes.share(movies)
    for batch in frames.batches(groups_of(own, _FRAMES), n_pixels):
        rows = batch.rows.to(encoded.device)
        for i, place in enumerate(places):
            likelihood[rows, i] = model.scored(batch, place.view(1, 1))[0]
    frames.processes.add(likelihood)
    likelihood *= frames.statistics.independent_share
    if model.kind == "static":
        probability = unsmoothed(likelihood, movies)
    else:
        index, intervals = frames.interval_index, frames.intervals
        probability = smoothed(likelihood, movies, index, intervals, places)
    mean = probability @ places
    spacing = places[1] - places[0]
    spread = (probability * (places - mean[:, None]).square()).sum(1) + spacing.square() / 12
    known = probability.sum(1) > 0
    return {
        "mean": mean[:, None],
        "variance": torch.where(known, spread, 1.0)[:, None],
        "probability": probability,
    }


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
