"""The closed-form start of training: a linear model of the frames at low resolution."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.models.linear_start import fit_coarse
from temporem.training.frames import PreparedFrames


def linear_start(
    frames: PreparedFrames,
    movies: list[np.ndarray],
    z_dim: int,
    *,
    temporal: bool,
    window_radius: float,
    seed: int,
) -> dict[str, Tensor]:
    """Posterior of every training frame in a linear model, scaled to unit spread.

    Args:
        frames: what is fitted.
        movies: the training movies; other frames get N(0, 1) and are not looked at.
        z_dim: components q.
        temporal: with dynamics within movies, for TEMPOR; without, for the static model.
        window_radius: of the images, in half boxes.
        seed: of the first coordinates.

    Returns:
        ``mean`` and ``variance``, ``(N, q)``.
    """
    data = frames.movie_frames
    fit = fit_coarse(
        data,
        movies,
        [z_dim],
        frames.spectral_prior,
        temporal=temporal,
        window_radius=window_radius,
        seed=seed,
    )
    rows = torch.from_numpy(np.concatenate(movies)).to(data.device)
    found, spread = fit.sums.posterior, fit.sums.posterior.covariance.diagonal(dim1=-2, dim2=-1)
    scale = found.mean[rows].std(0)
    mean = torch.zeros(len(data), z_dim, device=data.device)
    variance = torch.ones_like(mean)
    mean[rows] = (found.mean[rows] / scale).float()
    variance[rows] = (spread[rows] / scale.square()).float()
    return {"mean": mean, "variance": variance}
