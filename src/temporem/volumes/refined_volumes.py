"""A linear model of volumes, refined by a generator."""

from __future__ import annotations

import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport
from temporem.volumes.decoding import Span
from temporem.volumes.latent_curve import LatentCurve
from temporem.volumes.linear_started import LinearStarted
from temporem.volumes.model import VolumeModel


class RefinedVolumes(LinearStarted):
    """Linear model with a generator G on top: ``V(z) = μ + Σ_j c_j(z) U_j + M G(z)``.

    The volumes μ and U_j of a linear model are fixed. The curve c(z) through its latents and the
    generator are learned, so the generator only has to learn what the linear model lacks. In
    decoded volumes, the mask M of what moves multiplies the added volume, because outside the
    molecule a generator trained on slices adds only noise.

    Args:
        change: the generator G.
        components: number of components U_j, ``z_dim`` at least.
    """

    moving: Tensor

    def __init__(self, change: VolumeModel, components: int) -> None:
        super().__init__(change.box, change.z_dim, components)
        self.change = change
        self.curve = LatentCurve(self.z_dim, components)
        self.register_buffer("moving", torch.ones(self.box, self.box, self.box))

    def begin(self, volumes: Tensor, moving: Tensor, curve: LatentCurve, z: Tensor) -> None:
        """See :meth:`LinearStarted.begin`."""
        self.curve.load_state_dict(curve.state_dict())
        self.moving.copy_(moving)

    def forward(self, frequencies: Tensor, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.forward`; what the generator adds is not masked."""
        return self.change(frequencies, z) + self.base(frequencies, self.curve(z))

    @torch.no_grad()
    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.volumes`."""
        z = z.to(self.device)
        changes = self._masked(support, self.change.volumes(support, z))
        return changes + self.base.volumes(support, self.curve(z))

    @torch.no_grad()
    def span(self, support: FourierSupport, z: Tensor) -> Span | None:
        """See :meth:`VolumeModel.span`; the volumes of the linear model are among the few."""
        z = z.to(self.device)
        found = self.change.span(support, z)
        if found is None:
            return None
        changes = self._masked(support, found.basis)
        weights = self.base.weights(self.curve(z)).cpu()
        return Span(
            torch.cat([changes, self.base.coefficients(support)]),
            torch.cat([found.weights, weights], dim=1),
        )

    def set_amplitude(self, amplitudes: Tensor) -> None:
        """See :meth:`VolumeModel.set_amplitude`."""
        self.change.set_amplitude(amplitudes)

    def set_dtype(self, dtype: torch.dtype | None) -> None:
        """See :meth:`VolumeModel.set_dtype`."""
        self.change.set_dtype(dtype)

    @property
    def dtype(self) -> torch.dtype:
        """See :attr:`VolumeModel.dtype`."""
        return self.change.dtype

    @property
    def activations_per_point(self) -> int:
        """See :attr:`VolumeModel.activations_per_point`."""
        channels = 2 * (self.base.z_dim + 1)  # real and imaginary parts
        return self.change.activations_per_point + channels

    def _masked(self, support: FourierSupport, changes: Tensor) -> Tensor:
        """Multiply volumes by the mask, given their coefficients ``(B, P)``, in place."""
        if (self.moving < 1).any():
            for change in changes:
                change.copy_(support.fft(self.moving * support.ifft(change)))
        return changes
