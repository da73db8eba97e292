"""What the feature extractor is shown of a frame."""

from __future__ import annotations

import torch
from torch import Tensor

from temporem.physics.forward import ForwardModel
from temporem.physics.slicing import insert_slices_apart
from temporem.physics.support import FourierSupport

_BACK_PROJECTION_RADIUS = 9  # cycles per box: a molecule that moves, moves at low resolution


def image_evidence(images: Tensor, contrast: Tensor, weight: Tensor) -> Tensor:
    """Phase-flipped images as real numbers, ``(F, P)`` → ``(F, 2P)``.

    Args:
        images: Fourier images with unit noise, ``(F, P)``.
        contrast: CTF, ``(F, P)``.
        weight: how far to trust a frequency, ``(P,)``.
    """
    return torch.view_as_real(images * (contrast.sign() * weight)).flatten(-2)


def back_projection_evidence(
    forward_model: ForwardModel,
    residuals: Tensor,
    contrast: Tensor,
    rotations: Tensor,
    weight: Tensor,
) -> Tensor:
    """Low-resolution back-projection of single frames, ``Pᵀ CTF (y − CTF P μ)``, real ``(F, E)``.

    In the frame of the molecule a change of conformation looks alike from all sides, so that a
    linear layer can already tell it: this is the sufficient statistic of a linear volume model.

    Args:
        forward_model: image formation.
        residuals: images less the projection of the mean volume, ``(F, P)``.
        contrast: CTF, ``(F, P)``.
        rotations: molecule to camera, ``(F, 3, 3)``.
        weight: how far to trust a frequency, ``(P,)``.
    """
    radius = min(_BACK_PROJECTION_RADIUS, forward_model.box // 2 - 1)
    low = int((forward_model.support.radii <= radius).sum())
    points = forward_model.slice_frequencies(rotations)[:, :low]
    values = (residuals * contrast * weight)[:, :low]
    edge = 2 * (radius + 2)
    mirrored = torch.cat([values, values.conj()], dim=1)
    grids = insert_slices_apart(mirrored, torch.cat([points, -points], dim=1), edge)
    # Half of the ball; the rest mirrors it.
    wanted = FourierSupport(edge, 3, radius + 1).frequencies + edge // 2
    x, y, z = wanted.to(grids.device).unbind(-1)
    return torch.view_as_real(grids[:, z, y, x]).flatten(1)
