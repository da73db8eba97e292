"""Volumes at latents of any program, by kernel regression of images on their latents.

Frames near a latent z are averaged with Gaussian weights ``w_i = exp(−|z_i − z|² / 2h²)``
(Nadaraya 1964; Watson 1964; for cryo-EM, Gilles and Singer 2025) by weighted back-projection:

``V̂ = V̂₀ + Σ w_i P_iᵀ C_i (y_i − C_i P_i V̂₀) / (Σ w_i P_iᵀ C_i² + 1/τ²)``.

With V̂₀ the mean volume and τ² the power of a change, a volume is that of the mean where data are
few, which is fair in a comparison of likelihoods. With V̂₀ = 0 and τ² the power of the molecule it
owes the mean nothing, which is fair in a comparison of half maps.

Programs scale latents as they like, so no one width h fits all. At each z, h is such that the
weights are worth a given share of the frames, ``(Σ w)² / Σ w²`` of them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import full_grid
from temporem.volumes.back_projection import BackProjection

_AT_A_TIME = 4  # volumes; bounds memory
_BISECTIONS = 40
_WIDEST = 1e3  # of the spread of the latents


class KernelVolumes:
    """A model of volumes: kernel regression of the training frames on their latents.

    Args:
        frames: the frames, on the CPU; those of ``frames.training`` are averaged.
        latents: of all frames, ``(N, q)``.
        share: share of the training frames that a volume is worth.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        towards_mean: shrink to the mean volume where data are few, and not to 0.
    """

    def __init__(
        self,
        frames: Frames,
        latents: Tensor,
        share: float,
        *,
        window_radius: float,
        towards_mean: bool,
    ) -> None:
        self.frames = frames
        self.latents = latents.double()
        self.share = share
        box, prior = frames.forward_model.box, frames.statistics.spectral_prior
        self._ball = window_ball(box, window_radius)
        mean = frames.statistics.mean_volume.volume
        self._start = mean if towards_mean else torch.zeros_like(mean)
        self._power = (prior.change if towards_mean else prior.mean)[: box // 2]

    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """Fourier coefficients of the volumes at latents ``(B, q)``: complex64 ``(B, P)``."""
        maps = [self._maps(some) for some in z.double().cpu().split(_AT_A_TIME)]
        return support.fft(torch.cat(maps))

    def _maps(self, z: Tensor) -> Tensor:
        """Volumes at a few latents, ``(B, D, D, D)``."""
        frames, model = self.frames, self.frames.forward_model
        grid = full_grid(model.box, torch.device("cpu"))
        weights = self._weights(z)
        start = grid.from_volumes(self._start[None])
        sums = torch.zeros(len(grid.radii), 3 * len(z))
        for block in frames.blocks(frames.training):
            corners = grid.corners(model.slice_frequencies(block.rotations))
            slices = grid.extract(start, corners).view_as(block.images)
            residuals = block.images - model.observe(slices, block.ctf)
            values = corners.restore((residuals * block.ctf).reshape(-1, 1))
            three = torch.cat([values.real, values.imag, block.ctf.square().reshape(-1, 1)], dim=1)
            own = weights[:, block.rows].T.repeat_interleave(block.images.shape[1], 0)
            grid.insert(sums, corners, (own[..., None] * three[:, None]).flatten(1))
        maps = []
        for one in sums.unflatten(1, (len(z), 3)).unbind(1):
            projection = BackProjection(grid)
            projection.sums = one.contiguous()
            maps.append(self._start + projection.solve_with_power(self._power))
        return torch.stack(maps) * self._ball

    def _weights(self, z: Tensor) -> Tensor:
        """Weights of all frames at latents ``(B, q)``: float32 ``(B, N)``, 0 outside training."""
        rows = torch.from_numpy(np.concatenate(self.frames.training))
        squares = torch.cdist(z, self.latents[rows]).square()
        weights = torch.zeros(len(z), len(self.latents))
        weights[:, rows] = kernel_weights(squares, self.share).float()
        return weights


def kernel_weights(squares: Tensor, share: float) -> Tensor:
    """Gaussian weights of n frames, each row worth ``share`` of them.

    Args:
        squares: squared distances, float64 ``(B, n)``.
        share: ``(Σ w)² / (n Σ w²)`` that is wanted; more where frames lie at one place.

    Returns:
        Weights, the largest 1, ``(B, n)``.
    """
    beyond = squares - squares.min(1, keepdim=True).values
    widest = _WIDEST * beyond.max().sqrt().clamp(min=1e-12)
    low = (widest * 1e-9).log().expand(len(squares), 1)
    high = widest.log().expand(len(squares), 1)

    def weights(log_width: Tensor) -> Tensor:
        return torch.exp(-0.5 * beyond / (2 * log_width).exp())

    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        w = weights(middle)
        worth = w.sum(1, keepdim=True).square() / w.square().sum(1, keepdim=True)
        wide = worth > share * squares.shape[1]
        low, high = torch.where(wide, low, middle), torch.where(wide, middle, high)
    return weights(high)
