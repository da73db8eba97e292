"""The closed-form start of training: a linear model of the frames at low resolution."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.models.linear import LinearModel
from temporem.models.voxels import VoxelGenerator
from temporem.training.frames import PreparedFrames, mean_residuals

_RADIUS = 10  # cycles per box
_BLOCK = 256


def linear_start(
    frames: PreparedFrames, movies: list[np.ndarray], z_dim: int, seed: int
) -> dict[str, Tensor]:
    """Posterior of every training frame in a linear model, scaled to unit spread.

    Args:
        frames: what is fitted.
        movies: the training movies; other frames get N(0, 1) and are not looked at.
        z_dim: components q.
        seed: of the random starts.

    Returns:
        ``mean`` and ``variance``, ``(N, q)``.
    """
    model = frames.forward_model
    rows = torch.from_numpy(np.concatenate(movies))
    images, contrast, rotations = (
        t[rows.to(t.device)].cpu() for t in (frames.images, frames.contrast, frames.rotations)
    )
    voxels = VoxelGenerator(model.box)
    voxels.set_volume(frames.mean_volume.volume)
    residuals = torch.cat(
        [
            mean_residuals(model, voxels, images[b], contrast[b], rotations[b])
            for b in torch.arange(len(rows)).split(_BLOCK)
        ]
    )
    radius = min(_RADIUS, model.box // 2 - 2)
    linear = LinearModel(model, residuals, contrast, rotations, z_dim, radius, frames.change_power)
    posterior = linear.fit(torch.Generator().manual_seed(seed))
    scale = posterior.mean.std(0)
    mean, variance = torch.zeros(len(frames.images), z_dim), torch.ones(len(frames.images), z_dim)
    mean[rows] = posterior.mean / scale
    variance[rows] = posterior.variance / scale.square()
    return {"mean": mean.to(frames.images.device), "variance": variance.to(frames.images.device)}
