"""The closed-form start of training: a linear model of the frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.frames.frames import PreparedFrames
from temporem.io.checkpoint import resume_if_possible
from temporem.linear.cross_fit import fit_coarse
from temporem.linear.masks import enlarged, moving_mask, solvent_mask
from temporem.linear.model import Posterior
from temporem.physics.fourier import resized
from temporem.physics.masks import window_ball
from temporem.progress import Progress
from temporem.runs.config import RunConfig
from temporem.runs.linear import LinearRun, largest_components


@dataclass(frozen=True)
class LinearStart:
    """What a linear model tells of N frames.

    Attributes:
        mean: posterior of every training frame, scaled to unit spread, ``(N, q)``; 0 in others.
        variance: ``(N, q)``; 1 in others.
        masks: soft masks ``(2, D, D, D)``: where the mean volume is dense or something moves, and
            where something moves.
        volumes: μ and all components of the generator's base, the first q in the scale of the
            posteriors, ``(n + 1, D, D, D)``, 0 where frames are too few for so many; None where
            the model was solved at low resolution only.
    """

    mean: Tensor
    variance: Tensor
    masks: Tensor
    volumes: Tensor | None


def coarse_start(
    config: RunConfig,
    frames: PreparedFrames,
    movies: list[np.ndarray],
    *,
    temporal: bool,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> LinearStart:
    """Fit a linear model to training frames at low resolution, in seconds.

    Args:
        config: of the run; its latent dimension, seed and window.
        frames: what is fitted.
        movies: the training movies; other frames get N(0, 1) and are not looked at.
        temporal: with dynamics within movies, for TEMPOR; without, for the static model.
        world: the processes that share the work.
    """
    data = frames.movie_frames.shared(frames.movies, processes)
    z_dim, window_radius = config.model.z_dim, config.data.window_radius
    fit = fit_coarse(
        data,
        movies,
        [z_dim],
        frames.spectral_prior,
        temporal=temporal,
        window_radius=window_radius,
        seed=config.seed,
    )
    box = frames.forward_model.box
    moving = moving_mask(fit.parameters.volumes[1:], torch.eye(z_dim), box).cpu()
    solvent = solvent_mask(frames.mean_volume.volume, moving)
    masks = torch.stack([solvent, moving]) * window_ball(box, window_radius)
    mean, variance, _ = _unit_spread(fit.sums.posterior, movies)
    return LinearStart(mean, variance, masks, None)


def full_start(
    config: RunConfig,
    frames: PreparedFrames,
    movies: list[np.ndarray],
    directory: Path,
    *,
    temporal: bool,
    progress: Progress | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> LinearStart:
    """Fit a linear model to training frames, ``--method linear`` within a run.

    At full resolution up to ``model.linear_box``; of finer detail the volumes have the mean's.

    Args:
        config, frames, movies, temporal, world: as in :func:`coarse_start`.
        directory: of its checkpoints, from which it goes on if there are any.
        progress: told of every pass over the frames.
    """
    settings = config.linear.model_copy(update={"choose_components": False, "temporal": temporal})
    components = config.model.base_components or 0
    q = config.model.z_dim
    supported = max(q, min(components, largest_components(movies)))
    model = config.model.model_copy(update={"z_dim": supported})
    linear = config.model_copy(update={"method": "linear", "linear": settings, "model": model})
    if processes.is_main:
        directory.mkdir(exist_ok=True)
    processes.wait()
    cropped = frames.cropped(config.model.linear_box, config.data.memory_gb)
    given = None if config.model.solvent_mask else torch.ones((cropped.forward_model.box,) * 3)
    run = LinearRun(
        linear, cropped, movies, [], (given, given), directory, progress, processes, validate=True
    )
    resume_if_possible(run, directory, processes)
    result = run.fit()
    mean, variance, scale = _unit_spread(result.posterior, movies)
    found = result.parameters.volumes
    volumes = found.new_zeros(1 + components, *found.shape[1:])
    volumes[0] = found[0]
    volumes[1 : 1 + supported] = found[1:] * scale[:, None, None, None].to(found)
    masks = result.masks
    if cropped is not frames:
        masks, volumes = _refined(masks, volumes, frames.mean_volume.volume.to(volumes))
    return LinearStart(mean[:, :q], variance[:, :q], masks, volumes)


def _refined(masks: Tensor, volumes: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Masks and volumes of a small box ``(…, d, d, d)`` in the box of a mean volume ``(D, D, D)``.

    What is finer than the small box resolves is that mean's, masked, in μ, and nothing in U.
    """
    small, box = volumes.shape[-1], len(mean)
    masks = torch.stack([enlarged(mask, box) for mask in masks])
    volumes = resized(volumes, box)
    fine = mean * masks[0].to(mean)
    volumes[0] += fine - resized(resized(fine, small), box)
    return masks, volumes


def _unit_spread(posterior: Posterior, movies: list[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    """Means and variances of coordinates of unit spread, ``(N, q)``, and that spread, ``(q,)``."""
    rows = torch.from_numpy(np.concatenate(movies))
    found, spread = posterior.mean, posterior.covariance.diagonal(dim1=-2, dim2=-1)
    scale = found[rows].std(0)
    mean = torch.zeros_like(found, dtype=torch.float32)
    variance = torch.ones_like(mean)
    mean[rows] = (found[rows] / scale).float()
    variance[rows] = (spread[rows] / scale.square()).float()
    return mean, variance, scale
