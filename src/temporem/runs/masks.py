"""Masks from files."""

from __future__ import annotations

import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.io.mrc import read_mask
from temporem.physics.masks import soft_ball


def read_given_mask(path: str, box: int, *, window_radius: float) -> Tensor:
    """Read a mask ``(D, D, D)`` from an ``.mrc`` file.

    Raises:
        TemporemError: not a mask of this box, or empty within the window of the images.
    """
    mask = torch.from_numpy(read_mask(path, box))
    radius = window_radius * box / 2
    if not (mask * soft_ball(box, 3, radius, 0.0) > 0.5).any():
        raise TemporemError(
            f"mask {path} is empty within the window of the images",
            expected=f"values above 0.5 within {radius:g} voxels of the centre",
            hint="centre the mask on the box, or raise data.window_radius",
        )
    return mask
