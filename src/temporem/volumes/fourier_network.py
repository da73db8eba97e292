"""The volume generator of TEMPOR: an implicit neural representation in Fourier space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from temporem.physics.fourier import FourierSupport
from temporem.volumes.decoding import SPAN_TOLERANCE, Span, decode, spanning_rows
from temporem.volumes.layers import ResidualMLP
from temporem.volumes.model import VolumeModel

_INITIAL_SCALE = 0.1
_PROBES = 256  # frequencies at which volumes are compared, which takes 1/270 of decoding 64³
_FEW = 16  # volumes that are decoded at once rather than compared
_SPAN_COEFFICIENTS = 2**29  # largest basis of a span: 4 GB, 122 volumes of 256³


class FourierNetwork(VolumeModel):
    """Generator ``V̂(k; z) = a(|k|) · MLP([sin 2πk·x_j, cos 2πk·x_j]_j, z)`` (TEMPOR Eq. 8).

    It is an implicit neural representation in Fourier space (CryoDRGN, Zhong et al. 2021). Each
    Fourier feature (Tancik et al. 2020), in place of the octaves of Eq. 12, is the transform of a
    point at ``x_j``; the points are drawn once from a Gaussian ball, whose size is the extent of
    the objects that are easy to learn. The envelope ``a`` is the amplitude that the data have at a
    resolution, so that the network's own values are of order one. The MLP sees the half space ``kx
    > 0`` only; the other half follows exactly from ``V̂(−k) = conj V̂(k)``.

    Args:
        box: edge length D, voxels.
        z_dim: latent dimension q.
        width, depth: size of the residual MLP.
        n_features: number of points ``x_j``.
        feature_radius: standard deviation of the points, in box lengths.
    """

    positions: Tensor
    envelope: Tensor

    def __init__(
        self,
        box: int,
        z_dim: int,
        width: int,
        depth: int = 3,
        n_features: int = 96,
        feature_radius: float = 0.08,
    ) -> None:
        super().__init__(box, z_dim)
        positions = torch.randn(n_features, 3) * feature_radius
        self.register_buffer("positions", positions)  # box lengths
        self.register_buffer("envelope", torch.ones(box // 2 + 1))
        self.mlp = ResidualMLP(2 * n_features, width, depth, 2)
        with torch.no_grad():  # training starts close to no volume at all
            self.mlp.last.weight.mul_(_INITIAL_SCALE)
            self.mlp.last.bias.zero_()
        self.condition = nn.Linear(z_dim, width, bias=False)

    def set_amplitude(self, amplitudes: Tensor) -> None:
        """Set the envelope ``a`` at integer radii 0 … D/2, ``(D/2 + 1,)``."""
        self.envelope.copy_(amplitudes)

    def set_dtype(self, dtype: torch.dtype | None) -> None:
        """See :meth:`VolumeModel.set_dtype`."""
        self.mlp.dtype = dtype

    @property
    def dtype(self) -> torch.dtype:
        """See :attr:`VolumeModel.dtype`."""
        return self.mlp.dtype or torch.float32

    @property
    def activations_per_point(self) -> int:
        """See :attr:`VolumeModel.activations_per_point`; measured, from above."""
        return 2 * self.mlp.last.in_features * len(self.mlp.hidden)

    def forward(self, frequencies: Tensor, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.forward`."""
        sign = _half_space_sign(frequencies)
        features = self._features(sign[..., None] * frequencies)
        values = self.mlp(features, self.condition(z)[..., None, :])
        real, imag = (values * self._envelope_at(frequencies)[..., None]).unbind(-1)
        return torch.complex(real, imag * sign)

    @torch.no_grad()
    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """See :meth:`VolumeModel.volumes`."""
        z = z.to(self.device)
        frequencies = support.frequencies.to(z)
        values = self._outputs(frequencies, z, self.mlp.dtype)
        values *= self._envelope_at(frequencies)[:, None]
        return torch.view_as_complex(values) / self.box**0.5

    @torch.no_grad()
    def span(self, support: FourierSupport, z: Tensor) -> Span | None:
        """Find a few volumes of which those of many latents ``(N, q)`` are combinations.

        Latents have few dimensions and volumes change smoothly with them, so that N volumes have
        hardly more than some tens of directions. Which volumes span the others, and how, is found
        from the network's values at some frequencies, as many of each shell, and holds at all.

        Returns:
            Volumes within ``SPAN_TOLERANCE``; None where decoding every one costs less.
        """
        z = z.to(self.device)
        n = min(_PROBES, len(support))
        # The comparison itself, in float32, must cost little beside what it saves.
        if len(z) < _FEW or 16 * n > len(support):
            return None
        # A draw without replacement, weighted by one over the size of the shell.
        draw = torch.rand(len(support), generator=torch.Generator().manual_seed(0))
        probes = (draw.log() * support.shells.bincount()[support.shells]).topk(n).indices
        samples = self._outputs(support.frequencies[probes].to(z), z, None).flatten(1).cpu()
        most = min(7 * len(z) // 8, _SPAN_COEFFICIENTS // len(support))
        found = spanning_rows(samples, SPAN_TOLERANCE, most)
        if found is None:
            return None
        few, weights = found
        return Span(self.volumes(support, z[few.to(z.device)]), weights)

    def _outputs(self, frequencies: Tensor, z: Tensor, dtype: torch.dtype | None) -> Tensor:
        """The network's outputs at frequencies ``(P, 3)`` of the half space: ``(B, P, 2)``."""
        return decode(self.mlp, self._features, frequencies, self.condition(z), dtype)

    def _features(self, frequencies: Tensor) -> Tensor:
        """``[sin 2πk·x_j, cos 2πk·x_j]_j``: ``(..., 3)`` → ``(..., 2 n_features)``."""
        phase = (2 * torch.pi * frequencies) @ self.positions.T
        return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def _envelope_at(self, frequencies: Tensor) -> Tensor:
        """``a(|k|)``, linear between integer radii: ``(...)``."""
        radius = frequencies.norm(dim=-1)
        lower = radius.long().clamp(max=self.box // 2 - 1)
        return torch.lerp(self.envelope[lower], self.envelope[lower + 1], radius - lower)


class OctaveNetwork(FourierNetwork):
    """A :class:`FourierNetwork` with the paper's positional encoding (TEMPOR Eq. 12).

    The features are ``sin 2^l k_a`` and ``cos 2^l k_a`` of every axis a and octave l, which are
    the transforms of points on the axes. The paper leaves the unit of k open. Here the points lie
    1, 2, 4 … voxels from the centre, as far as half a box, so that the fastest feature tells
    neighbouring frequencies apart.

    Args:
        box, z_dim, width, depth: as in :class:`FourierNetwork`.
    """

    def __init__(self, box: int, z_dim: int, width: int, depth: int = 3) -> None:
        distances = 2.0 ** torch.arange(max(1, (box // 2).bit_length())) / box
        super().__init__(box, z_dim, width, depth, n_features=3 * len(distances))
        self.positions.copy_(torch.kron(distances[:, None], torch.eye(3)))


def _half_space_sign(frequencies: Tensor) -> Tensor:
    """+1 where the first non-zero coordinate is positive, −1 in the mirrored half: ``(...)``."""
    x, y, z = frequencies.unbind(-1)
    negative = (x < 0) | ((x == 0) & ((y < 0) | ((y == 0) & (z < 0))))
    return 1.0 - 2.0 * negative.to(frequencies.dtype)
