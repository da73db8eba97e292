"""A cloud of Gaussians that does not move: one volume, positive and compact."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.gaussian_sums import gaussian_sums
from temporem.volumes.moving_cloud import POSITION_UNIT, SD_UNIT, WEIGHT_UNIT


class StillCloud(nn.Module):
    """N Gaussians of one width, ``V(x) = Σ_j w_j N(x | x_j, σ²)``.

    Args:
        gaussians: N.
    """

    def __init__(self, gaussians: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.zeros(gaussians, 3))
        self.log_weight = nn.Parameter(torch.zeros(gaussians))
        self.log_sd = nn.Parameter(torch.zeros(()))

    @torch.no_grad()
    def place(self, points: Tensor, weights: Tensor, sd: float) -> None:
        """Place the Gaussians at points ``(N, 3)`` in voxels from the centre, weights ``(N,)``."""
        self.places.copy_(points / POSITION_UNIT)
        self.log_weight.copy_(weights.log() / WEIGHT_UNIT)
        self.log_sd.fill_(math.log(sd) / SD_UNIT)

    def slices(self, model: ForwardModel, rotations: Tensor, n_pixels: int) -> Tensor:
        """Slices in orientations ``(F, 3, 3)`` at the lowest frequencies, ``(F, n_pixels)``."""
        return self._sums(self._positions @ rotations[:, :2].mT, model.support, n_pixels)

    @torch.no_grad()
    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """Coefficients of the volume for each of B latents, which it ignores: ``(B, P)``."""
        volume = self._sums(self._positions[None], support, None)
        return volume.expand(len(z), -1)

    def volume(self, support: FourierSupport) -> Tensor:
        """The volume on voxels, ``(D, D, D)``."""
        return support.ifft(self.volumes(support, torch.zeros(1, 0)))[0]

    @property
    def _positions(self) -> Tensor:
        return POSITION_UNIT * self.places

    def _sums(self, centres: Tensor, support: FourierSupport, n_pixels: int | None) -> Tensor:
        weights, sd = (WEIGHT_UNIT * self.log_weight).exp(), (SD_UNIT * self.log_sd).exp()
        return gaussian_sums(centres, weights, sd, support, n_pixels)
