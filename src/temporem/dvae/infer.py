"""Inference of the latents of all frames with a trained model."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.latent_grid import latent_grid, latents_on_grid
from temporem.dvae.latents import Latents
from temporem.dvae.learned_poses import encode_in_current_poses
from temporem.dvae.missed_detail import find_missed_detail
from temporem.dvae.model import MovieVAE
from temporem.dvae.settings import TrainingSettings
from temporem.dvae.stages import finds_latents_on_grid
from temporem.dvae.volume_errors import volume_error_variance
from temporem.frames.source import groups_of
from temporem.physics.gaussian import gaussian_kl
from temporem.volumes.linear_started import LinearStarted
from temporem.volumes.refined_volumes import RefinedVolumes

_FRAMES = 640  # at a time
_FEATURE_FRAMES = 512


def infer_latents(model: MovieVAE, encoded: EncodedFrames, *, block: int = _FRAMES) -> Latents:
    """Infer the latents of all N frames, held out or not, in the order of the dataset.

    Inference is deterministic; processes share the movies.

    Args:
        model: a trained model.
        encoded: the frames.
        block: frames at a time, about.
    """
    frames, device = encoded.frames, encoded.device
    n = len(encoded)
    z, mean, log_variance = torch.zeros(3, n, model.generator.z_dim, device=device)
    found = Latents(z, mean, log_variance, torch.zeros(n, device=device))
    groups = groups_of(frames.processes.share(frames.movies), block)
    with torch.no_grad():
        for batch in encoded.batches(groups, n_pixels=0):
            rows = batch.rows.to(device)
            latents = model.infer(encode_in_current_poses(model, encoded, batch))
            for field in fields(Latents):
                getattr(found, field.name)[rows] = getattr(latents, field.name)
    frames.processes.add(*(getattr(found, field.name) for field in fields(Latents)))
    return found


def final_latents(model: MovieVAE, encoded: EncodedFrames, training: TrainingSettings) -> Latents:
    """Find the latents of all N frames by a trained model: on a grid, or by the encoder.

    Variances on a grid include what :func:`latents_after_training` found of the volumes.
    """
    if not _on_grid(model, training):
        return infer_latents(model, encoded)
    return _with_volume_errors(model, _sharply_on_grid(model, encoded))


def latents_after_training(
    model: MovieVAE, encoded: EncodedFrames, training: TrainingSettings
) -> Latents:
    """Find the latents that a fit ends with, and keep in the model what comes after training.

    That is what a cloud misses, and what errors of the volumes add to the latents. Arguments are
    those of :func:`final_latents`.
    """
    frames = encoded.frames
    if not _on_grid(model, training):
        latents = infer_latents(model, encoded)
        find_missed_detail(model, frames, latents.mean)
        return latents
    found = _sharply_on_grid(model, encoded)
    if find_missed_detail(model, frames, found["mean"]):
        found = _sharply_on_grid(model, encoded)
    model.volume_errors.copy_(volume_error_variance(model, frames, found["probability"]))
    return _with_volume_errors(model, found)


def _on_grid(model: MovieVAE, training: TrainingSettings) -> bool:
    generator = model.generator
    own = generator.change if isinstance(generator, RefinedVolumes) else generator
    learned = model.poses is not None
    return finds_latents_on_grid(model.kind, training, type(own), own.z_dim, learned)


def _sharply_on_grid(model: MovieVAE, encoded: EncodedFrames) -> dict[str, Tensor]:
    """Find the latents of all frames, as finely as the trained volumes allow."""
    resolution = model.generator.latent_resolution
    return latents_on_grid(model, encoded, encoded.frames.movies, resolution)


def _with_volume_errors(model: MovieVAE, found: dict[str, Tensor]) -> Latents:
    """Latents on the grid; the volumes add the variance of the nearest place."""
    assert isinstance(model.generator, LinearStarted)
    mean, places = found["mean"], latent_grid(model.generator)
    nearest = ((mean - places[0]) / (places[1] - places[0])).round().long()
    added = model.volume_errors[nearest.clamp(0, len(places) - 1)]
    log_variance = (found["variance"] + added).log()
    zero = torch.zeros_like(mean)
    return Latents(mean, mean, log_variance, gaussian_kl(mean, log_variance, zero, zero))


def infer_features(model: MovieVAE, encoded: EncodedFrames) -> Tensor:
    """Extract the features of all N frames, ``(N, W)``, in the order of the dataset."""
    frames, n = encoded.frames, len(encoded)
    features = torch.zeros(n, model.inference.n_features, device=encoded.device)
    own = np.arange(n)[frames.processes.cut(np.ones(n))]
    parts = np.array_split(own, len(own) // _FEATURE_FRAMES + 1)
    with torch.no_grad():
        for batch in encoded.batches(([part] for part in parts if len(part)), n_pixels=0):
            batch = encode_in_current_poses(model, encoded, batch)
            features[batch.rows.to(encoded.device)] = model.features(batch).float()
    frames.processes.add(features)
    return features
