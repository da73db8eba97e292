"""The volumes of a linear model, one for every latent coordinate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from temporem.physics.support import FourierSupport


class LinearGenerator(nn.Module):
    """``V(z) = μ + Σ_j z_j U_j``.

    Args:
        box: edge length D in voxels.
        z_dim: number of components q.
    """

    maps: Tensor

    def __init__(self, box: int, z_dim: int) -> None:
        super().__init__()
        self.register_buffer("maps", torch.zeros(z_dim + 1, box, box, box))

    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """Fourier coefficients of the volumes of ``z (B, q)``: complex ``(B, P)``."""
        coefficients = support.analyse(self.maps)
        return coefficients[0] + z.to(coefficients.dtype) @ coefficients[1:]

    def variance(self, covariance: Tensor) -> Tensor:
        """Variance of every voxel for covariances of z ``(B, q, q)``: ``(B, D, D, D)``."""
        u = self.maps[1:]
        return torch.einsum("izyx,bij,jzyx->bzyx", u, covariance.to(u), u).clamp(min=0)
