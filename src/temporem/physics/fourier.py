"""The independent Fourier coefficients of real images and volumes: half a disc or ball.

A real array has ``X(-k) = conj X(k)`` (Friedel symmetry), so half of the coefficients suffice.
Those at or beyond the Nyquist radius are left out: a rotated image has no data in its corners. All
code in Fourier space works on these coefficients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class FourierSupport:
    """Half of the integer frequencies inside the Nyquist ball of a box.

    Frequencies are in cycles per box, ordered ``(kx, ky[, kz])``. A frequency belongs to the half
    when its first non-zero entry is positive: ``kx > 0``, or ``kx = 0`` and ``ky > 0``, or both 0
    and ``kz > 0``. The origin belongs to it and comes first.

    The transform is centred (voxel ``box // 2`` is the origin) and orthonormal, so that white
    noise of variance s² has ``E|X(k)|² = s²`` at every frequency.

    Args:
        box: edge length D in pixels, even.
        ndim: 2 for images, 3 for volumes.
        radius: keep ``|k| < radius``, cycles per box; ``box / 2`` (Nyquist) when None.

    Example:
        >>> support = tm.FourierSupport(64, 3)
        >>> coefficients = support.fft(torch.randn(64, 64, 64))
        >>> low_passed = support.ifft(coefficients * (support.radii < 16))
        >>> low_passed.shape
        torch.Size([64, 64, 64])
    """

    box: int
    ndim: int
    radius: float | None = None

    def __post_init__(self) -> None:
        if self.box < 2 or self.box % 2:
            raise ValueError(f"box must be even and positive, not {self.box}")
        if self.ndim not in (2, 3):
            raise ValueError(f"ndim must be 2 or 3, not {self.ndim}")

    @cached_property
    def _layout(self) -> tuple[Tensor, Tensor]:
        """Frequencies ``(P, ndim)`` and their flat indices in ``rfftn``'s output, ``(P,)``."""
        half, full = torch.arange(self.box // 2 + 1), torch.arange(self.box)
        full = torch.where(full < self.box // 2, full, full - self.box)
        # rfftn's axes are (z,) y, x with x the halved one.
        mesh = torch.meshgrid(*([full] * (self.ndim - 1)), half, indexing="ij")
        freq = torch.stack([axis.flatten() for axis in reversed(mesh)], dim=-1)
        limit = self.box / 2 if self.radius is None else min(self.radius, self.box / 2)
        inside = freq.square().sum(-1) < limit**2
        # The first non-zero entry decides; the origin belongs to the half.
        upper = torch.ones(len(freq), dtype=torch.bool)
        for axis in reversed(range(self.ndim)):
            upper = (freq[:, axis] > 0) | ((freq[:, axis] == 0) & upper)
        keep = (inside & upper).nonzero().squeeze(1)
        # Sorting by radius puts the origin first and makes low-resolution subsets a prefix.
        keep = keep[freq[keep].square().sum(-1).argsort(stable=True)]
        return freq[keep], keep

    @property
    def frequencies(self) -> Tensor:
        """Integer frequencies ``(P, ndim)``, cycles per box, sorted by radius."""
        return self._layout[0]

    @property
    def grid_index(self) -> Tensor:
        """Flat index of every frequency in ``rfftn``'s output ``(D, [D,] D//2 + 1)``: ``(P,)``."""
        return self._layout[1]

    @cached_property
    def radii(self) -> Tensor:
        """``|k|`` in cycles per box, ``(P,)``, ascending."""
        return self.frequencies.double().norm(dim=-1).float()

    @cached_property
    def shells(self) -> Tensor:
        """Integer shell ``round(|k|)`` of every frequency, ``(P,)``."""
        return self.radii.round().long()

    @property
    def n_shells(self) -> int:
        """Shells 0 … box/2 − 1; frequencies that round to Nyquist itself belong to no shell."""
        return self.box // 2

    @cached_property
    def weights(self) -> Tensor:
        """Multiplicity of each coefficient in the full transform: 1 at the origin, 2 elsewhere."""
        weights = torch.full((len(self),), 2.0)
        weights[0] = 1.0
        return weights

    def __len__(self) -> int:
        return len(self._layout[0])

    @property
    def _dims(self) -> tuple[int, ...]:
        return tuple(range(-self.ndim, 0))

    def fft(self, arrays: Tensor) -> Tensor:
        """Fourier coefficients of real arrays: ``(..., D, D[, D])`` → complex ``(..., P)``.

        ``X(k) = D^(-ndim/2) Σ_x a(x) exp(-2πi k·(x - D//2) / D)``
        """
        shifted = torch.fft.ifftshift(arrays, dim=self._dims)
        full = torch.fft.rfftn(shifted, dim=self._dims, norm="ortho")
        index = self.grid_index.to(arrays.device)
        return full.flatten(-self.ndim).index_select(-1, index)

    def ifft(self, coefficients: Tensor) -> Tensor:
        """Real arrays of coefficients: complex ``(..., P)`` → ``(..., D, D[, D])``.

        The inverse of :meth:`fft` on band-limited arrays and, with :attr:`weights`, its adjoint:
        ``Σ_x a·ifft(c) = Re Σ_k weights·conj(fft(a))·c``.
        """
        half_shape = (self.box,) * (self.ndim - 1) + (self.box // 2 + 1,)
        batch = coefficients.shape[:-1]
        index, mirror, on_plane = (t.to(coefficients.device) for t in self._mirror)
        values = coefficients.clone()
        values[..., 0] = values[..., 0].real.to(values.dtype)  # the mean of a real array is real
        full = coefficients.new_zeros(*batch, math.prod(half_shape))
        full = full.index_copy(-1, index, values)
        # irfftn reads the whole plane kx = 0, so its other half must be filled in.
        full = full.index_copy(-1, mirror, values.index_select(-1, on_plane).conj().resolve_conj())
        full = full.unflatten(-1, half_shape)
        shifted = torch.fft.irfftn(full, s=(self.box,) * self.ndim, dim=self._dims, norm="ortho")
        return torch.fft.fftshift(shifted, dim=self._dims)

    @cached_property
    def _mirror(self) -> tuple[Tensor, Tensor, Tensor]:
        """Flat indices of all coefficients and of the mirrors on kx = 0; coefficients with one."""
        freq, index = self._layout
        on_plane = ((freq[:, 0] == 0) & (freq != 0).any(-1)).nonzero().squeeze(1)
        mirrored = (-freq[on_plane]) % self.box
        flat = torch.zeros(len(on_plane), dtype=torch.long)
        for axis in reversed(range(1, self.ndim)):  # z (if any), then y; x is 0
            flat = flat * self.box + mirrored[:, axis]
        return index, flat * (self.box // 2 + 1), on_plane

    def shell_means(self, values: Tensor) -> Tensor:
        """Mean of real ``values (..., P)`` over each shell: ``(..., n_shells)``."""
        sums = self.shell_sums(values)
        counts = self.shell_sums(torch.ones_like(values))
        return sums / counts.clamp(min=1)  # 0 in shells beyond the radius

    def shell_sums(self, values: Tensor) -> Tensor:
        """Weighted sum of real ``values (..., P)`` over each shell: ``(..., n_shells)``."""
        shells, weights = self.shells.to(values.device), self.weights.to(values)
        sums = values.new_zeros(*values.shape[:-1], self.n_shells + 1)
        sums.index_add_(-1, shells, values * weights)
        return sums[..., : self.n_shells]


def resized(volumes: Tensor, box: int) -> Tensor:
    """Resample volumes ``(..., D, D, D)`` to ``box³`` voxels over the same field of view.

    Slices ``√D V̂`` stay the same at the frequencies that both boxes have.
    """
    before = volumes.shape[-1]
    if before == box:
        return volumes
    radius = min(box, before) / 2
    there, here = FourierSupport(before, 3, radius), FourierSupport(box, 3, radius)
    return here.ifft((before / box) ** 0.5 * there.fft(volumes))
