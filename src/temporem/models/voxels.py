"""A volume on voxels as a generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from temporem.models.padded_grid import PADDING, PaddedGrid
from temporem.physics.support import FourierSupport


class VoxelGenerator(nn.Module):
    """A generator that knows one volume, whatever the latent coordinates.

    Args:
        box: edge length D in pixels.
    """

    volume: Tensor
    rows: Tensor

    def __init__(self, box: int) -> None:
        super().__init__()
        self.register_buffer("volume", torch.zeros(box, box, box))
        size = len(self._grid(torch.device("cpu")).radii)
        self.register_buffer("rows", torch.zeros(size, 1, dtype=torch.complex64), False)
        # Also called when a module that contains this one is loaded.
        self.register_load_state_dict_post_hook(lambda module, _: module.set_volume(module.volume))

    def _grid(self, device: torch.device) -> PaddedGrid:
        return full_grid(len(self.volume), device)

    def set_volume(self, volume: Tensor) -> None:
        """Make ``volume (D, D, D)`` the one that is sliced."""
        self.volume.copy_(volume)
        self.rows.copy_(self._grid(self.volume.device).from_volumes(self.volume[None]))

    def forward(self, frequencies: Tensor) -> Tensor:
        """Slices at ``(..., 3)`` cycles per box: complex ``(...)``."""
        grid = self._grid(frequencies.device)
        return grid.extract(self.rows, grid.corners(frequencies)).view(frequencies.shape[:-1])

    def coefficients(self, support: FourierSupport) -> Tensor:
        """The volume on its own grid, without interpolation: complex ``(P,)``."""
        return support.analyse(self.volume) * support.box**0.5


def full_grid(box: int, device: torch.device) -> PaddedGrid:
    """The grid that holds all frequencies below Nyquist."""
    return PaddedGrid(box, box / 2 - 0.5 / PADDING, device)


def grid_below(box: int, radius: float) -> PaddedGrid:
    """A grid for frequencies below a radius, in cycles per box, no larger than needed."""
    coarse = 2 * math.ceil(radius + 2)
    cpu = torch.device("cpu")
    return full_grid(box, cpu) if coarse >= box else PaddedGrid(coarse, radius, cpu)


def resized(volumes: Tensor, box: int) -> Tensor:
    """Volumes ``(..., D, D, D)`` on ``box³`` voxels over the same field of view.

    Both have the same slices at the frequencies that both have: ``√D V̂`` is kept.
    """
    before = volumes.shape[-1]
    if before == box:
        return volumes
    radius = min(box, before) / 2
    there, here = FourierSupport(before, 3, radius), FourierSupport(box, 3, radius)
    return here.synthesise((before / box) ** 0.5 * there.analyse(volumes))
