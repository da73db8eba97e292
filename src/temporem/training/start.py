"""The closed-form start of training: a linear model of the frames at low resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.models.linear_masks import moving_mask, solvent_mask
from temporem.models.linear_start import fit_coarse
from temporem.physics.masks import window_ball
from temporem.training.frames import PreparedFrames
from temporem.world import ALONE, World


@dataclass(frozen=True)
class LinearStart:
    """What a linear model tells of N frames.

    Attributes:
        mean: posterior of every training frame, scaled to unit spread, ``(N, q)``; 0 in others.
        variance: ``(N, q)``; 1 in others.
        solvent: soft mask of the molecule, ``(D, D, D)``: where the mean volume is dense or
            something moves.
    """

    mean: Tensor
    variance: Tensor
    solvent: Tensor


def linear_start(
    frames: PreparedFrames,
    movies: list[np.ndarray],
    z_dim: int,
    *,
    temporal: bool,
    window_radius: float,
    seed: int,
    world: World = ALONE,
) -> LinearStart:
    """Fit a linear model to training frames.

    Args:
        frames: what is fitted.
        movies: the training movies; other frames get N(0, 1) and are not looked at.
        z_dim: components q.
        temporal: with dynamics within movies, for TEMPOR; without, for the static model.
        window_radius: of the images, in half boxes.
        seed: of the first coordinates.
        world: the processes that share the work.
    """
    data = frames.movie_frames.shared(frames.movies, world)
    fit = fit_coarse(
        data,
        movies,
        [z_dim],
        frames.spectral_prior,
        temporal=temporal,
        window_radius=window_radius,
        seed=seed,
    )
    box = frames.forward_model.box
    components = fit.parameters.volumes[1:]
    moving = moving_mask(components, torch.eye(z_dim), box).cpu()
    solvent = solvent_mask(frames.mean_volume.volume, moving) * window_ball(box, window_radius)
    rows = torch.from_numpy(np.concatenate(movies)).to(data.device)
    found, spread = fit.sums.posterior, fit.sums.posterior.covariance.diagonal(dim1=-2, dim2=-1)
    scale = found.mean[rows].std(0)
    mean = torch.zeros(len(data), z_dim, device=data.device)
    variance = torch.ones_like(mean)
    mean[rows] = (found.mean[rows] / scale).float()
    variance[rows] = (spread[rows] / scale.square()).float()
    return LinearStart(mean, variance, solvent)
