"""Slices of a few volumes of a generator in any orientation, at low frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport
from temporem.physics.padded_grid import PaddedGrid, full_grid, grid_below
from temporem.volumes.model import VolumeModel


@dataclass(frozen=True, eq=False)
class LowSlices:
    """G decoded volumes that are sliced by interpolation.

    A generator decodes a volume once. Its slices then cost little, however many frames there are.

    Attributes:
        grid: padded grid of a coarse box over the field of view of the volumes.
        rows: the volumes on it, complex64 ``(V, G)``.
    """

    grid: PaddedGrid
    rows: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, generator: VolumeModel, z: Tensor, radius: float) -> LowSlices:
        """Decode volumes.

        Args:
            generator: the model of volumes.
            z: latents ``(G, q)``.
            radius: highest frequency at which they will be sliced, cycles per box.
        """
        box = generator.box
        grid = low_grid(box, radius, generator.device)
        low = grid.box / 2
        wanted, coarse = FourierSupport(box, 3, low), FourierSupport(grid.box, 3, low)
        scale = (box / grid.box) ** 0.5  # both boxes give the same slices
        maps = coarse.ifft(scale * generator.volumes(wanted, z))
        return cls(grid, grid.from_volumes(maps))

    def __call__(self, frequencies: Tensor) -> Tensor:
        """Slice all volumes: frequencies ``(F, P, 3)``, cycles per box → complex ``(F, P, G)``."""
        samples = self.grid.extract(self.rows, self.grid.corners(frequencies))
        return samples.unflatten(0, frequencies.shape[:-1])


def low_grid(box: int, radius: float, device: torch.device) -> PaddedGrid:
    """Choose the grid on which volumes of a box are sliced below a radius, cycles per box."""
    return full_grid(grid_below(box, radius).box, device)
