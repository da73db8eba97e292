"""Objectives of the stages of training, per frame, to maximise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from temporem.dvae.latent_grid import drawn_from_grid, latent_grid
from temporem.dvae.model import MovieVAE
from temporem.dvae.stages import StageName
from temporem.frames.batch import Batch
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.gaussian import gaussian_kl, sample_gaussian
from temporem.physics.pixel_sample import PixelSample
from temporem.volumes.linear_started import LinearStarted

Targets = Mapping[str, Tensor]
"""Target posteriors of an encoder by name, of all N frames, ``(N, q)``."""


@dataclass(frozen=True)
class Terms:
    """Terms of an objective ``fit − β kl − pose_kl − penalty``, each ``(F,)``.

    Attributes:
        fit: log-likelihood of the frames, or fit to the targets.
        kl: divergence of the latents from their prior.
        pose_kl: divergence of the poses from their prior.
        penalty: the generator's.
    """

    fit: Tensor
    kl: Tensor
    pose_kl: Tensor
    penalty: Tensor


def lower_bound(
    model: MovieVAE, batch: Batch, pixels: PixelSample, targets: Targets, noise: FrameNoise
) -> Terms:
    """Compute the evidence lower bound (TEMPOR Eq. 11), estimated from some pixels."""
    bound = model.bound(batch.at(pixels), noise)
    return Terms(bound.log_likelihood, bound.kl, bound.pose_kl, bound.penalty)


def guided_fit(
    model: MovieVAE, batch: Batch, pixels: PixelSample, targets: Targets, noise: FrameNoise
) -> Terms:
    """Fit the generator to latents drawn from the targets, and the encoder to the targets."""
    mean, variance = _of_batch(targets, batch, "mean", "variance")
    drawn = sample_gaussian(mean, variance.log(), noise.normal(*mean.shape))
    return _fit_to_drawn(model, batch, pixels, (mean, variance), drawn, noise)


def smooth_fit(
    model: MovieVAE, batch: Batch, pixels: PixelSample, targets: Targets, noise: FrameNoise
) -> Terms:
    """Fit the generator to latents drawn from their posteriors on a grid, and the encoder to them.

    The KL term is that of the posteriors, which the step does not change.
    """
    mean, variance, probability = _of_batch(targets, batch, "mean", "variance", "probability")
    which, within = noise.uniform(len(mean)), noise.uniform(len(mean))
    assert isinstance(model.generator, LinearStarted)
    drawn = drawn_from_grid(probability, latent_grid(model.generator), which, within)
    terms = _fit_to_drawn(model, batch, pixels, (mean, variance), drawn, noise)
    zero = torch.zeros_like(mean)
    return replace(terms, kl=gaussian_kl(mean, variance.log(), zero, zero))


def _fit_to_drawn(
    model: MovieVAE,
    batch: Batch,
    pixels: PixelSample,
    target: tuple[Tensor, Tensor],
    drawn: Tensor,
    noise: FrameNoise,
) -> Terms:
    """Fit the generator to latents, and the encoder to the posterior that they are drawn from."""
    mean, variance = target
    path = model.infer(batch, noise)
    likelihood, pose_kl = model.scored(batch.at(pixels), drawn, noise)
    encoder = gaussian_kl(mean, variance.log(), path.mean, path.log_variance)
    penalty = model.generator.penalty(drawn)
    return Terms(likelihood - encoder, torch.zeros_like(likelihood), pose_kl, penalty)


def path_fit(
    model: MovieVAE, batch: Batch, pixels: PixelSample, targets: Targets, noise: FrameNoise
) -> Terms:
    """Fit the temporal encoder to the posteriors N(m, s²) of the static model.

    They count as observations of the latents: ``log N(m_t | μ_t, σ_t² + s_t²)``.
    """
    features, mean, spread = _of_batch(targets, batch, "features", "mean", "variance")
    path = model.inference(features, batch.lengths, batch.times, noise)
    variance = path.log_variance.exp() + spread
    residual = (mean - path.mean).square() / variance
    fit = -0.5 * (residual + variance.log()).sum(-1)
    zero = torch.zeros_like(fit)
    return Terms(fit, zero, zero, zero)


Objective = Callable[[MovieVAE, Batch, PixelSample, Targets, FrameNoise], Terms]

OBJECTIVES: dict[StageName, Objective] = {
    "start": guided_fit,
    "smooth": smooth_fit,
    "static": lower_bound,
    "warm-up": path_fit,
    "tempor": lower_bound,
}
"""The objective of every stage."""


def _of_batch(targets: Targets, batch: Batch, *names: str) -> list[Tensor]:
    """Take the targets of the frames of a batch."""
    rows = batch.rows.to(targets[names[0]].device, non_blocking=True)
    return [targets[name][rows] for name in names]
