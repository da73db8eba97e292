"""Soft windows and masks in real space."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

_VOLUME_EDGE = 0.05  # of the box


def soft_ball(box: int, ndim: int, radius: float, edge: float) -> Tensor:
    """Make a disc or ball that falls from 1 to 0 as a raised cosine, ``(box,) * ndim``.

    Args:
        box: edge length in pixels; the centre is voxel ``box // 2``.
        ndim: 2 or 3.
        radius: where the fall starts, pixels.
        edge: width of the fall, pixels.
    """
    axis = torch.arange(box) - box // 2
    mesh = torch.meshgrid(*([axis.double()] * ndim), indexing="ij")
    distance = torch.stack(mesh).norm(dim=0)
    ramp = ((distance - radius) / max(edge, 1e-6)).clamp(0, 1)
    return (0.5 * (1 + (torch.pi * ramp).cos())).float()


def soft_mask(region: np.ndarray, dilation: float, edge: float) -> Tensor:
    """Make a mask that is 1 within ``dilation`` of a region and falls to 0 as a raised cosine.

    Args:
        region: bool ``(D, D, D)`` with at least one voxel set.
        dilation: voxels.
        edge: width of the fall, voxels.

    Returns:
        Float32 ``(D, D, D)``.
    """
    distance = ndimage.distance_transform_edt(~region)
    ramp = ((distance - dilation) / max(edge, 1e-6)).clip(0, 1)
    return torch.from_numpy((0.5 * (1 + np.cos(np.pi * ramp))).astype(np.float32))


def interpolated(volume: np.ndarray, box: int) -> np.ndarray:
    """Interpolate a volume ``(D, D, D)`` to other voxels over its field of view, ``(box,) * 3``.

    The centre of rotation stays, voxel ``box // 2``.
    """
    edge = len(volume)
    axis = (np.arange(box) - box // 2) * edge / box + edge // 2
    points = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.asarray(ndimage.map_coordinates(volume, points, order=1, mode="nearest"))


def window_ball(box: int, window_radius: float) -> Tensor:
    """Make the ball of volumes whose images have a window of this radius, ``(box,) * 3``."""
    edge = _VOLUME_EDGE * box
    return soft_ball(box, 3, window_radius * box / 2 - edge, edge)
