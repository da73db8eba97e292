"""A volume on voxels, sliced and estimated in Fourier space on a 2× padded grid.

Slices are in the units of an image, ``√D V̂``. Trilinear interpolation multiplies the volume by
``sinc²`` along each axis in real space; both directions divide it out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from temporem.physics.slicing import extract_slices, insert_slices
from temporem.physics.support import FourierSupport

PADDING = 2


def gridding_correction(box: int) -> Tensor:
    """What trilinear interpolation does to a volume, ``Π_axis sinc²(x / 2D)``: ``(D, D, D)``."""
    axis = torch.sinc((torch.arange(box) - box // 2) / (PADDING * box)).square()
    return axis[:, None, None] * axis[:, None] * axis


def volume_to_grid(volume: Tensor) -> Tensor:
    """Padded Fourier grid of a volume ``(D, D, D)``, to be sliced: complex ``(2D, 2D, 2D)``."""
    box = volume.shape[-1]
    pad = (PADDING - 1) * box // 2
    padded = nn.functional.pad(volume / gridding_correction(box).to(volume), (pad,) * 6)
    return torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(padded))) / box


def grid_to_volume(grid: Tensor) -> Tensor:
    """Volume ``(D, D, D)`` of a padded Fourier grid that slices were inserted into."""
    box = grid.shape[-1] // PADDING
    pad = (PADDING - 1) * box // 2
    padded = torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(grid))).real * box
    volume = padded[pad : pad + box, pad : pad + box, pad : pad + box]
    return volume / gridding_correction(box).to(volume)


def insert_symmetric(values: Tensor, frequencies: Tensor, box: int) -> Tensor:
    """Sum of slices and of their Friedel mirrors on the padded grid of a box.

    Args:
        values: ``(...)``, complex (slices) or real (weights).
        frequencies: where they were sampled, cycles per box, ``(..., 3)``.
        box: D.
    """
    grid = insert_slices(values, frequencies * PADDING, PADDING * box)
    mirrored = grid.flip(0, 1, 2).roll((1, 1, 1), (0, 1, 2))  # the entry at −k
    return grid + (mirrored.conj() if mirrored.is_complex() else mirrored)


def grid_radii(box: int) -> Tensor:
    """``|k|`` in cycles per box on the padded grid, ``(2D, 2D, 2D)``."""
    axis = (torch.arange(PADDING * box) - PADDING * box // 2) / PADDING
    squares = axis.square()
    return (squares[:, None, None] + squares[:, None] + squares).sqrt()


class VoxelGenerator(nn.Module):
    """A generator that knows one volume, whatever the latent coordinates.

    Args:
        box: edge length D in pixels.
    """

    volume: Tensor
    grid: Tensor

    def __init__(self, box: int) -> None:
        super().__init__()
        self.register_buffer("volume", torch.zeros(box, box, box))
        edge = PADDING * box
        self.register_buffer("grid", torch.zeros(edge, edge, edge, dtype=torch.complex64), False)
        # Also called when a module that contains this one is loaded.
        self.register_load_state_dict_post_hook(lambda module, _: module.set_volume(module.volume))

    def set_volume(self, volume: Tensor) -> None:
        """Make ``volume (D, D, D)`` the one that is sliced."""
        self.volume.copy_(volume)
        self.grid.copy_(volume_to_grid(self.volume))

    def forward(self, frequencies: Tensor) -> Tensor:
        """Slices at ``(..., 3)`` cycles per box: complex ``(...)``."""
        return extract_slices(self.grid, frequencies * PADDING)

    def coefficients(self, support: FourierSupport) -> Tensor:
        """The volume on its own grid, without interpolation: complex ``(P,)``."""
        return support.analyse(self.volume) * support.box**0.5
