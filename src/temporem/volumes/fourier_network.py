"""Volume generator: a linear model and an implicit neural representation in the Fourier domain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from temporem.physics.fourier import FourierSupport
from temporem.volumes.decoding import SPAN_TOLERANCE, Span, decode, spanning_rows
from temporem.volumes.latent_curve import LatentCurve
from temporem.volumes.layers import ResidualMLP
from temporem.volumes.linear_volumes import LinearVolumes

_INITIAL_SCALE = 0.1
_PROBES = 256  # frequencies at which volumes are compared, which takes 1/270 of decoding 64³
_FEW = 16  # volumes that are decoded at once rather than compared
_SPAN_COEFFICIENTS = 2**29  # of the basis of a span at most: 4 GB, 122 volumes of 256³


class FourierNetwork(nn.Module):
    """``V̂(k; z) = L(k; c(z)) + a(|k|) · MLP([sin 2πk·x_j, cos 2πk·x_j]_j, z)`` (paper Eq. 8, 12).

    Each Fourier feature is the transform of a point at ``x_j``; the points are drawn once from a
    Gaussian ball, so that their spread is the extent of the objects that are easy to learn. The
    envelope ``a`` is the amplitude that the data have at that resolution, which lets the network
    put out numbers of order one. The MLP sees the half space ``kx > 0`` only and the rest follows
    from ``V̂(−k) = conj V̂(k)``, exactly. The base L, where there is one, is the mean volume μ, the
    back-projection of all frames, or the volumes ``μ + Σ_j c_j(z) U_j`` of a linear model, along a
    curve that is learned too: what the network then has to learn is what differs from it. Where
    masks are set, that of the solvent multiplies μ, that of what moves all changes, those of the
    network when volumes are decoded.

    Args:
        box: edge length D in pixels.
        z_dim: latent dimension q.
        width, depth: of the residual MLP.
        n_features: number of points ``x_j``.
        feature_radius: standard deviation of the points, in box lengths.
        base_components: components of the base, to be set as ``base.set_maps``: 0 for a mean volume
            alone, or ``z_dim`` at least; None for no base.
    """

    positions: Tensor
    envelope: Tensor
    moving: Tensor

    def __init__(
        self,
        box: int,
        z_dim: int,
        width: int,
        depth: int,
        n_features: int,
        feature_radius: float,
        base_components: int | None,
    ) -> None:
        super().__init__()
        self.box = box
        positions = torch.randn(n_features, 3) * feature_radius
        self.register_buffer("positions", positions)  # box lengths
        self.register_buffer("envelope", torch.ones(box // 2 + 1))
        self.register_buffer("moving", torch.ones(box, box, box))
        self.mlp = ResidualMLP(2 * n_features, width, depth, 2)
        with torch.no_grad():  # training starts close to the base
            self.mlp.last.weight.mul_(_INITIAL_SCALE)
            self.mlp.last.bias.zero_()
        self.condition = nn.Linear(z_dim, width, bias=False)
        self.base = None if base_components is None else LinearVolumes(box, base_components)
        # Coordinates in the base of latents.
        self.coordinates = LatentCurve(z_dim, base_components) if base_components else nn.Identity()

    def set_envelope(self, amplitudes: Tensor) -> None:
        """Set ``a`` at integer radii 0 … D/2, shape ``(D/2 + 1,)``."""
        self.envelope.copy_(amplitudes)

    def set_masks(self, solvent: Tensor, moving: Tensor) -> None:
        """Set where the molecule is and where it changes, ``(D, D, D)``; the base is masked now."""
        self.moving.copy_(moving)
        if self.base is not None:
            components = [self.moving] * (len(self.base.maps) - 1)
            masks = torch.stack([solvent.to(self.moving), *components])
            self.base.set_maps(self.base.maps * masks)

    def forward(self, frequencies: Tensor, z: Tensor) -> Tensor:
        """Coefficients of volumes at frequencies, what the network adds not masked.

        Args:
            frequencies: cycles per box, ``(..., P, 3)``, ``|k| < D/2``; broadcasts against ``z``.
            z: latent coordinates ``(..., q)``.

        Returns:
            Complex64 ``(..., P)``, in units of a slice: ``√D V̂``.
        """
        values = self._network(frequencies, z)
        return values if self.base is None else values + self.base(frequencies, self.coordinates(z))

    @torch.no_grad()
    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """Volumes on their own grid, in orthonormal units: z ``(B, q)`` → complex ``(B, P)``.

        Without gradients.
        """
        values = self._changes(support, z)
        if self.base is not None:
            values += self.base.volumes(support, self.coordinates(z)) * self.box**0.5
        return values / self.box**0.5

    @torch.no_grad()
    def span(self, support: FourierSupport, z: Tensor) -> Span | None:
        """Volumes of z ``(N, q)``, N large, as combinations of a few that are decoded.

        Latent coordinates are few and volumes change smoothly with them, so N volumes hardly have
        more than some tens of directions. Which volumes span the others, and how, is learned from
        the network's values at some frequencies, as many of each shell, and holds at all of them.

        Returns:
            Volumes within ``SPAN_TOLERANCE``; None where decoding every one costs less.
        """
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
        basis = self._changes(support, z[few.to(z.device)])
        if self.base is not None:
            basis = torch.cat([basis, self.base.coefficients(support) * self.box**0.5])
            weights = torch.cat([weights, self.base.weights(self.coordinates(z)).cpu()], dim=1)
        basis /= self.box**0.5
        return Span(basis, weights)

    def _changes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """What the network adds to the base, in units of a slice: complex ``(B, P)``.

        Masked: outside the molecule a network, which sees slices only, has but noise to add.
        """
        frequencies = support.frequencies.to(z)
        values = self._outputs(frequencies, z, self.mlp.dtype)
        values *= self._envelope_at(frequencies)[:, None]
        changes = torch.view_as_complex(values)
        if (self.moving < 1).any():
            for change in changes:
                change.copy_(support.fft(self.moving * support.ifft(change)))
        return changes

    def _outputs(self, frequencies: Tensor, z: Tensor, dtype: torch.dtype | None) -> Tensor:
        """The network at frequencies ``(P, 3)`` of the half space: ``(B, P, 2)``."""
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

    def _network(self, frequencies: Tensor, z: Tensor) -> Tensor:
        sign = _half_space_sign(frequencies)
        features = self._features(sign[..., None] * frequencies)
        values = self.mlp(features, self.condition(z)[..., None, :])
        real, imag = (values * self._envelope_at(frequencies)[..., None]).unbind(-1)
        return torch.complex(real, imag * sign)


def _half_space_sign(frequencies: Tensor) -> Tensor:
    """+1 where the first non-zero coordinate is positive, −1 in the mirrored half: ``(...)``."""
    x, y, z = frequencies.unbind(-1)
    negative = (x < 0) | ((x == 0) & ((y < 0) | ((y == 0) & (z < 0))))
    return 1.0 - 2.0 * negative.to(frequencies.dtype)
