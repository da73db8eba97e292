"""The volumes of a linear model, one for every latent coordinate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from temporem.physics.fourier import FourierSupport
from temporem.physics.padded_grid import full_grid


class LinearVolumes(nn.Module):
    """``V(z) = μ + Σ_j z_j U_j``; with q = 0 one volume, whatever the latent coordinates.

    Args:
        box: edge length D in voxels.
        z_dim: number of components q.
    """

    maps: Tensor
    rows: Tensor

    def __init__(self, box: int, z_dim: int) -> None:
        super().__init__()
        self.register_buffer("maps", torch.zeros(z_dim + 1, box, box, box))
        self.register_buffer("rows", torch.zeros(0, dtype=torch.complex64), False)
        # Also called when a module that contains this one is loaded.
        self.register_load_state_dict_post_hook(lambda module, _: module.set_maps(module.maps))

    @property
    def box(self) -> int:
        """Edge length D in voxels."""
        return self.maps.shape[-1]

    @property
    def mean(self) -> Tensor:
        """μ, ``(D, D, D)``."""
        return self.maps[0]

    def set_maps(self, maps: Tensor) -> None:
        """Make ``(q + 1, D, D, D)``, μ first, the volumes that are combined and sliced."""
        self.maps.copy_(maps)
        self.rows = self.rows.new_zeros(0)

    def set_mean(self, volume: Tensor) -> None:
        """Make ``(D, D, D)`` μ, and all components 0."""
        self.set_maps(
            torch.cat([volume[None], torch.zeros_like(self.maps[1:], device=volume.device)])
        )

    def weights(self, z: Tensor) -> Tensor:
        """What the maps are multiplied by, ``[1, z]``: ``(..., ≥ q)`` → ``(..., q + 1)``."""
        return nn.functional.pad(z[..., : len(self.maps) - 1], (1, 0), value=1.0)

    def forward(self, frequencies: Tensor, z: Tensor) -> Tensor:
        """Slices at ``(..., P, 3)`` cycles per box of the volumes of ``z (..., q)``.

        Returns:
            Complex ``(..., P)``, in units of a slice: ``√D V̂``.
        """
        grid = full_grid(self.box, frequencies.device)
        if not len(self.rows):  # who never slices does not need them
            self.rows = grid.from_volumes(self.maps)
        samples = grid.extract(self.rows, grid.corners(frequencies))
        samples = samples.unflatten(0, frequencies.shape[:-1])
        return (samples * self.weights(z)[..., None, :]).sum(-1)

    def coefficients(self, support: FourierSupport) -> Tensor:
        """The maps on their own grid, without interpolation: complex ``(q + 1, P)``."""
        return support.fft(self.maps)

    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """Fourier coefficients of the volumes of ``z (B, q)``: complex ``(B, P)``."""
        coefficients = self.coefficients(support)
        return self.weights(z).to(coefficients.dtype) @ coefficients

    def variance(self, covariance: Tensor) -> Tensor:
        """Variance of every voxel for covariances of z ``(B, q, q)``: ``(B, D, D, D)``."""
        u = self.maps[1:]
        return torch.einsum("izyx,bij,jzyx->bzyx", u, covariance.to(u), u).clamp(min=0)
