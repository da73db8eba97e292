"""The volumes of a linear model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from temporem.physics.fourier import FourierSupport
from temporem.physics.padded_grid import full_grid
from temporem.volumes.model import VolumeModel


class LinearVolumes(VolumeModel):
    """Linear model ``V(z) = μ + Σ_j z_j U_j``; with q = 0 a single volume.

    Args:
        box: edge length D, voxels.
        z_dim: number of components q.
    """

    maps: Tensor
    rows: Tensor

    def __init__(self, box: int, z_dim: int) -> None:
        super().__init__(box, z_dim)
        self.register_buffer("maps", torch.zeros(z_dim + 1, box, box, box))
        self.register_buffer("rows", torch.zeros(0, dtype=torch.complex64), False)
        # Also called when a module that contains this one is loaded.
        self.register_load_state_dict_post_hook(lambda module, _: module.set_maps(module.maps))

    @property
    def mean(self) -> Tensor:
        """μ, ``(D, D, D)``."""
        return self.maps[0]

    def set_maps(self, maps: Tensor) -> None:
        """Set the volumes that are combined and sliced, ``(q + 1, D, D, D)``, μ first."""
        self.maps.copy_(maps)
        self.rows = self.rows.new_zeros(0)

    def set_mean(self, volume: Tensor) -> None:
        """Set μ, ``(D, D, D)``, and all components to 0."""
        self.set_maps(
            torch.cat([volume[None], torch.zeros_like(self.maps[1:], device=volume.device)])
        )

    def weights(self, z: Tensor) -> Tensor:
        """Weights of the volumes, ``[1, z]``: ``(..., ≥ q)`` → ``(..., q + 1)``."""
        return nn.functional.pad(z[..., : len(self.maps) - 1], (1, 0), value=1.0)

    def forward(self, frequencies: Tensor, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.forward`; values are interpolated on a padded grid."""
        return (self.slices(frequencies) * self.weights(z)[..., None, :]).sum(-1)

    def slices(self, frequencies: Tensor) -> Tensor:
        """Slice each of the volumes at ``(F, P, 3)``: complex ``(F, P, q + 1)``, μ first."""
        grid = full_grid(self.box, frequencies.device)
        if not len(self.rows):  # made when volumes are sliced for the first time
            self.rows = grid.from_volumes(self.maps)
        samples = grid.extract(self.rows, grid.corners(frequencies))
        return samples.unflatten(0, frequencies.shape[:-1])

    def coefficients(self, support: FourierSupport) -> Tensor:
        """Transform the volumes on their grid, without interpolation: complex ``(q + 1, P)``."""
        return support.fft(self.maps)

    @torch.no_grad()
    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.volumes`."""
        z = z.to(self.device)
        coefficients = self.coefficients(support)
        return self.weights(z).to(coefficients.dtype) @ coefficients

    def variance(self, covariance: Tensor) -> Tensor:
        """Compute the variance of every voxel, ``(B, D, D, D)``, of covariances ``(B, q, q)``."""
        u = self.maps[1:]
        return torch.einsum("izyx,bij,jzyx->bzyx", u, covariance.to(u), u).clamp(min=0)
