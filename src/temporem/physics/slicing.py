"""Insertion of central slices into Fourier voxels, frame by frame."""

from __future__ import annotations

import torch
from torch import Tensor


def trilinear_corners(points: Tensor, edge: int) -> tuple[Tensor, Tensor]:
    """Find the 8 voxels around points ``(..., 3)`` and their trilinear weights.

    Args:
        points: (x, y, z) in grid units from the centre voxel.
        edge: edge of the grid, voxels.

    Returns:
        Flat indices and weights, ``(..., 8)`` each; corners outside the grid have weight 0.
    """
    base = points.floor()
    fraction = points - base
    ends = torch.arange(2, device=points.device)
    offsets = torch.cartesian_prod(ends, ends, ends)
    corner = base.long()[..., None, :] + offsets
    weight = torch.where(offsets == 1, fraction[..., None, :], 1 - fraction[..., None, :]).prod(-1)
    corner = corner + edge // 2
    inside = ((corner >= 0) & (corner < edge)).all(-1)
    corner = corner.clamp(0, edge - 1)
    flat = (corner[..., 2] * edge + corner[..., 1]) * edge + corner[..., 0]
    return flat, weight * inside


def insert_slices_apart(values: Tensor, points: Tensor, edge: int) -> Tensor:
    """Insert slices, each into its own grid: the adjoint of trilinear interpolation.

    Args:
        values: complex ``(F, P)``.
        points: points of the samples, (x, y, z) in grid units from the centre, ``(F, P, 3)``.
        edge: edge E of the grids, voxels.

    Returns:
        ``(F, E, E, E)``, axes (z, y, x).
    """
    index, weight = trilinear_corners(points, edge)
    own = torch.arange(len(values), device=values.device)[:, None, None] * edge**3
    grids = torch.zeros(len(values) * edge**3, dtype=values.dtype, device=values.device)
    spread = values[..., None] * weight.to(values.real.dtype)
    grids.index_add_(0, (index + own).reshape(-1), spread.reshape(-1))
    return grids.reshape(-1, edge, edge, edge)
