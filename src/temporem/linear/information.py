"""Information of images about the latents of a linear model."""

from __future__ import annotations

import torch
from torch import Tensor


def latent_information(
    residuals: Tensor, design: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``J = Re Hᴴ W H`` and ``h = Re Hᴴ W r`` of F frames.

    With the prior N(0, 1), a frame alone has the posterior mean ``(J + 1)⁻¹ h`` and the covariance
    ``(J + 1)⁻¹``.

    Args:
        residuals: images less the projection of the mean volume, r, complex ``(F, P)``.
        design: projections of the components, H, complex ``(F, P, q)``.
        weights: coefficients of the full plane that each of P stands for, divided by the variance
            of their noise, W, ``(P,)``.

    Returns:
        J, float64 ``(F, q, q)``, h, float64 ``(F, q)``, and ``√W r`` as real numbers, ``(F, 2P)``.
    """
    root = weights.sqrt()
    whitened = torch.view_as_real(residuals * root).flatten(1)
    h_matrix = torch.view_as_real(design * root[:, None]).transpose(-1, -2).flatten(1, 2)
    information = (h_matrix.mT @ h_matrix).double()
    score = (h_matrix.mT @ whitened[..., None]).squeeze(-1).double()
    return information, score, whitened
