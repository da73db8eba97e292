"""The warm start of a network: volumes, masks and latents of a linear model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.frames import Frames
from temporem.linear.masks import enlarged
from temporem.linear.model import Posterior
from temporem.linear.settings import LinearSettings
from temporem.linear.state import LinearFit
from temporem.physics.fourier import resized

LINEAR_BOX = 64
"""Largest box of the linear model of a warm start; finer detail is left to the network."""


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Volumes and latents that training starts from.

    Attributes:
        mean: posterior means of the training frames, of unit spread, float32 ``(N, q)``; 0 in other
            frames.
        variance: posterior variances, ``(N, q)``; 1 in other frames.
        volumes: μ and n components, masked, in the scale of the latents, ``(n + 1, D, D, D)``.
        moving: soft mask of what moves, ``(D, D, D)``.
    """

    mean: Tensor
    variance: Tensor
    volumes: Tensor
    moving: Tensor

    @property
    def components(self) -> int:
        """Number of components."""
        return len(self.volumes) - 1


def warm_start_settings(
    settings: LinearSettings, method: Literal["static", "tempor"]
) -> LinearSettings:
    """Complete the settings of the linear fit that a network starts from.

    The linear model has dynamics if the network has. It may have more components than the network
    has latents, because the network's latents follow a curve in its space. At least as many it must
    have.
    """
    return settings.model_copy(update={"temporal": method == "tempor"})


def warm_start_from(fit: LinearFit, frames: Frames, z_dim: int) -> WarmStart:
    """Make the warm start of a network with ``z_dim`` latents from a linear fit.

    Args:
        fit: linear model of the frames, in their box or a smaller one of the same field of view.
        frames: the frames.
        z_dim: latent dimension q; the first q components of the fit give the latents.

    Raises:
        TemporemError: the fit is one of other frames, or has fewer components than latents.
    """
    q, n = fit.parameters.q, len(fit.latents.mean)
    if n != len(frames):
        raise TemporemError(
            f"the linear fit to start from has {n} frames, the dataset {len(frames)}",
            expected="a linear fit of the same frames",
        )
    if q < z_dim:
        raise TemporemError(
            f"the linear fit to start from has {q} components, but z_dim is {z_dim}",
            expected="z_dim components or more",
            hint=f"fit the linear model with components={z_dim}",
        )
    mean, variance, spread = _unit_spread(fit.latents, frames.training)
    volumes = fit.parameters.volumes.clone()
    volumes[1:] *= spread[:, None, None, None].to(volumes)
    masks = fit.masks
    box = frames.forward_model.box
    if volumes.shape[-1] != box:
        mean_volume = frames.statistics.mean_volume.volume
        masks, volumes = _refined(masks, volumes, mean_volume.to(volumes))
    return WarmStart(
        mean=mean[:, :z_dim].contiguous(),
        variance=variance[:, :z_dim].contiguous(),
        volumes=volumes,
        moving=masks[1],
    )


def _refined(masks: Tensor, volumes: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Bring masks and volumes of a small box ``(…, d, d, d)`` to the box of a mean volume.

    In μ, detail finer than the small box resolves comes from the masked mean volume ``(D, D, D)``;
    the components have none.
    """
    small, box = volumes.shape[-1], len(mean)
    masks = torch.stack([enlarged(mask, box) for mask in masks])
    volumes = resized(volumes, box)
    fine = mean * masks[0].to(mean)
    volumes[0] += fine - resized(resized(fine, small), box)
    return masks, volumes


def _unit_spread(posterior: Posterior, movies: list[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    """Scale latents to unit spread over training frames.

    Returns:
        Means and variances ``(N, q)``, and the spread that they had, ``(q,)``.
    """
    rows = torch.from_numpy(np.concatenate(movies))
    found, variances = posterior.mean, posterior.covariance.diagonal(dim1=-2, dim2=-1)
    spread = found[rows].std(0).clamp(min=1e-12)
    mean = torch.zeros_like(found, dtype=torch.float32)
    variance = torch.ones_like(mean)
    mean[rows] = (found[rows] / spread).float()
    variance[rows] = (variances[rows] / spread.square()).float()
    return mean, variance, spread
