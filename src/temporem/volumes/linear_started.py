"""The interface of generators whose training starts from a linear model of the volumes."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from temporem.volumes.latent_curve import LatentCurve
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.model import VolumeModel


class LinearStarted(VolumeModel):
    """A model of volumes that starts from a linear model, and keeps it for the encoder.

    Args:
        box: edge length D of the volumes, voxels.
        z_dim: latent dimension q.
        components: number of components of the linear model.

    Attributes:
        base: the linear model.
        reach: least and greatest latents of the start, ``(2, q)``.
    """

    reach: Tensor

    def __init__(self, box: int, z_dim: int, components: int) -> None:
        super().__init__(box, z_dim)
        self.base = LinearVolumes(box, components)
        self.register_buffer("reach", torch.zeros(2, z_dim))

    def start_from(self, volumes: Tensor, moving: Tensor, curve: LatentCurve, z: Tensor) -> None:
        """Begin with a linear model.

        Args:
            volumes: μ and the components, masked, ``(components + 1, D, D, D)``.
            moving: mask of what moves, values from 0 to 1, ``(D, D, D)``.
            curve: latents → latents of the linear model.
            z: latents of the training frames, ``(N, q)``.
        """
        self.base.set_maps(volumes)
        self.reach.copy_(torch.stack([z.amin(0), z.amax(0)]))
        self.begin(volumes, moving, curve, z)

    @abstractmethod
    def begin(self, volumes: Tensor, moving: Tensor, curve: LatentCurve, z: Tensor) -> None:
        """Set what is learned; arguments are those of :meth:`start_from`."""
