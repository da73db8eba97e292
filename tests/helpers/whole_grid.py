"""The whole padded Fourier grid, plainly: what the half of it that is stored must agree with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from temporem.physics.padded_grid import PADDING, gridding_correction
from temporem.physics.slicing import trilinear_corners


def extract_slices(grid: Tensor, points: Tensor) -> Tensor:
    """Trilinear samples of a grid ``(E, E, E)``, axes (z, y, x), at ``(..., 3)``: ``(...)``."""
    index, weight = trilinear_corners(points, grid.shape[-1])
    return (grid.reshape(-1)[index] * weight).sum(-1)


def insert_slices(values: Tensor, points: Tensor, edge: int) -> Tensor:
    """Adjoint of :func:`extract_slices`: spread ``values (...)`` at ``(..., 3)``: ``(E, E, E)``."""
    index, weight = trilinear_corners(points, edge)
    grid = torch.zeros(edge**3, dtype=values.dtype, device=values.device)
    spread = values[..., None] * weight.to(values.real.dtype)
    grid.index_add_(0, index.reshape(-1), spread.reshape(-1).to(values.dtype))
    return grid.reshape(edge, edge, edge)


def volume_to_grid(volume: Tensor) -> Tensor:
    """Padded Fourier grid of a volume ``(D, D, D)``, to be sliced: complex ``(2D, 2D, 2D)``."""
    box = volume.shape[-1]
    pad = (PADDING - 1) * box // 2
    padded = nn.functional.pad(volume / gridding_correction(box).to(volume), (pad,) * 6)
    return torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(padded))) / box


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
