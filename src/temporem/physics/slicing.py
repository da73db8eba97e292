"""Central slices of a voxel grid in Fourier space, and the exact adjoint.

The grid is the centred Fourier transform of a zero-padded volume. Slices are trilinear
interpolations of it; :func:`insert_slices` is the transpose of :func:`extract_slices`, to the last
bit of the weights, so that least-squares solvers built on the pair converge.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _corners(points: Tensor, edge: int) -> tuple[Tensor, Tensor]:
    """Flat grid indices and trilinear weights of the 8 voxels around points ``(..., 3)``.

    Points are (x, y, z) in grid units from the centre voxel. Corners outside the grid get weight 0.
    Returns indices and weights ``(..., 8)``.
    """
    base = points.floor()
    fraction = points - base
    offsets = torch.tensor(
        [[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], device=points.device
    )
    corner = base.long()[..., None, :] + offsets
    weight = torch.where(offsets == 1, fraction[..., None, :], 1 - fraction[..., None, :]).prod(-1)
    corner = corner + edge // 2
    inside = ((corner >= 0) & (corner < edge)).all(-1)
    corner = corner.clamp(0, edge - 1)
    flat = (corner[..., 2] * edge + corner[..., 1]) * edge + corner[..., 0]
    return flat, weight * inside


def extract_slices(grid: Tensor, points: Tensor) -> Tensor:
    """Trilinear samples of a grid ``(E, E, E)``, axes (z, y, x), at ``(..., 3)``: ``(...)``."""
    index, weight = _corners(points, grid.shape[-1])
    return (grid.reshape(-1)[index] * weight).sum(-1)


def insert_slices_apart(values: Tensor, points: Tensor, edge: int) -> Tensor:
    """As :func:`insert_slices`, each frame into its own grid: ``(F, P)`` → ``(F, E, E, E)``."""
    index, weight = _corners(points, edge)
    own = torch.arange(len(values), device=values.device)[:, None, None] * edge**3
    grids = torch.zeros(len(values) * edge**3, dtype=values.dtype, device=values.device)
    spread = values[..., None] * weight.to(values.real.dtype)
    grids.index_add_(0, (index + own).reshape(-1), spread.reshape(-1))
    return grids.reshape(-1, edge, edge, edge)


def insert_slices(values: Tensor, points: Tensor, edge: int) -> Tensor:
    """Adjoint of :func:`extract_slices`: spread ``values (...)`` at ``(..., 3)``: ``(E, E, E)``."""
    index, weight = _corners(points, edge)
    grid = torch.zeros(edge**3, dtype=values.dtype, device=values.device)
    spread = values[..., None] * weight.to(values.real.dtype)
    grid.index_add_(0, index.reshape(-1), spread.reshape(-1).to(values.dtype))
    return grid.reshape(edge, edge, edge)
