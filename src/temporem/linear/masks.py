"""Masks of the molecule and of its moving parts, made from volumes."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from temporem.physics.masks import interpolated, soft_mask

_BLUR = 1 / 40  # of the box; finer detail does not tell solvent from molecule
_SOLVENT_LEVEL = 0.15  # of the largest density
_MOVING_LEVEL = 0.35  # of the largest standard deviation
_DILATION = _EDGE = 3 / 64  # of the box


def solvent_mask(mean: Tensor, moving: Tensor) -> Tensor:
    """Make a soft mask of the molecule, ``(D, D, D)``: where the mean is dense or density moves."""
    smooth = ndimage.gaussian_filter(mean.cpu().numpy(), _BLUR * len(mean))
    dense = _soft(smooth > _SOLVENT_LEVEL * smooth.max())
    return torch.maximum(dense.to(moving), moving)


def moving_mask(components: Tensor, spread: Tensor, box: int) -> Tensor:
    """Make a soft mask of the moving density, ``(box, box, box)``.

    Args:
        components: U ``(q, D', D', D')`` at low resolution, over the same field of view.
        spread: covariance of the latents over frames, ``(q, q)``.
        box: edge of the mask, voxels.
    """
    variance = torch.einsum("izyx,ij,jzyx->zyx", components, spread.to(components), components)
    deviation = variance.clamp(min=0).sqrt().cpu().numpy()
    fine = ndimage.gaussian_filter(interpolated(deviation, box), box / 64)
    return _soft(fine > _MOVING_LEVEL * fine.max()).to(components)


def enlarged(mask: Tensor, box: int) -> Tensor:
    """Interpolate a mask ``(D', D', D')`` to more voxels over the same field of view."""
    return torch.from_numpy(interpolated(mask.cpu().numpy(), box)).to(mask)


def _soft(region: np.ndarray) -> Tensor:
    return soft_mask(region, _DILATION * len(region), _EDGE * len(region))
