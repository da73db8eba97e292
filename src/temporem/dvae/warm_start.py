"""The warm start of a network: volumes, masks and latents of a linear model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.latent_coordinates import latent_coordinates
from temporem.errors import TemporemError
from temporem.frames.frames import Frames
from temporem.linear.masks import enlarged
from temporem.linear.settings import LinearSettings
from temporem.linear.state import LinearFit
from temporem.physics.fourier import resized
from temporem.volumes.latent_curve import LatentCurve

LINEAR_BOX = 64
"""Largest box of the linear model of a warm start; finer detail is left to the network."""


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Volumes and latents that training starts from.

    Attributes:
        mean: latents of the training frames, of about unit spread, float32 ``(N, q)``; 0 in other
            frames.
        variance: their posterior variances, ``(N, q)``; 1 in other frames.
        curve: latents → latents of the linear model.
        volumes: μ and n components, masked, in the scale of the latents, ``(n + 1, D, D, D)``.
        moving: soft mask of what moves, ``(D, D, D)``.
    """

    mean: Tensor
    variance: Tensor
    curve: LatentCurve
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


def warm_start_from(fit: LinearFit, frames: Frames, z_dim: int, *, seed: int = 0) -> WarmStart:
    """Make the warm start of a network with ``z_dim`` latents from a linear fit.

    Args:
        fit: linear model of the frames, in their box or a smaller one of the same field of view.
        frames: the frames.
        z_dim: latent dimension q, at most the number of components of the fit.
        seed: of the search for q coordinates (:func:`latent_coordinates`).

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
    rows = torch.from_numpy(np.concatenate(frames.training))
    found = fit.latents[rows]
    spread = found.mean.std(0)
    spread = torch.where(spread > 1e-9, spread, torch.ones_like(spread))  # some never vary
    scaled = found.transformed((1 / spread).diag())
    power = fit.parameters.volumes[1:].double().square().sum((1, 2, 3)).cpu()
    z = latent_coordinates(
        scaled.mean.float(),
        scaled.covariance.float(),
        (spread * power.sqrt()).float(),
        z_dim,
        seed=seed,
    )
    mean, variance = torch.zeros(n, z_dim), torch.ones(n, z_dim)
    mean[rows], variance[rows] = z.mean, z.variance
    volumes = fit.parameters.volumes.clone()
    volumes[1:] *= spread[:, None, None, None].to(volumes)
    masks, volumes = refined_start(fit.masks, volumes, frames)
    return WarmStart(mean, variance, z.curve, volumes, masks[1])


def refined_start(masks: Tensor, volumes: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
    """Bring masks and volumes of a smaller box ``(…, d, d, d)`` to the box of the frames.

    In μ, detail finer than the small box resolves comes from the masked mean volume; the components
    have none.
    """
    small, box = volumes.shape[-1], frames.forward_model.box
    if small == box:
        return masks, volumes
    mean = frames.statistics.mean_volume.volume.to(volumes)
    masks = torch.stack([enlarged(mask, box) for mask in masks])
    volumes = resized(volumes, box)
    fine = mean * masks[0].to(mean)
    volumes[0] += fine - resized(resized(fine, small), box)
    return masks, volumes
