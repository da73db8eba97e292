"""Exact projections and volumes of atoms, as structure factors.

``V̂(k) = Σ_e f_e(|k|) Σ_{a∈e} exp(−2πi k·r_a)`` over elements e and their atoms a. On a rectangular
grid the exponential is a product of one factor for each axis, so that the sum over atoms is a
matrix product. Nothing is interpolated or aliased: pixels hold the band-limited image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport

_PRODUCT_BYTES = 2**25
"""Memory for the products of y and z waves of a volume; more is not faster."""


@dataclass(frozen=True)
class FormFactor:
    """Electron scattering of an element as Gaussians, ``f(s) = Σ_j a_j exp(−b_j s² / 4)``.

    Attributes:
        amplitudes: ``a_j`` in Å, shape ``(J,)``.
        widths: ``b_j`` in Å² including the B-factor, shape ``(J,)``; s is in 1/Å.
    """

    amplitudes: Tensor
    widths: Tensor

    def at(self, s_squared: Tensor) -> Tensor:
        """f at squared frequencies ``(P,)``, 1/Å² → ``(P,)``, Å."""
        exponent = -0.25 * s_squared[:, None] * self.widths.to(s_squared)
        return (self.amplitudes.to(s_squared) * exponent.exp()).sum(-1)


def structure_factors(
    positions_angstrom: Tensor,
    element_of_atom: Tensor,
    form_factors: Sequence[FormFactor],
    support: FourierSupport,
    pixel_size_angstrom: float,
) -> Tensor:
    """Compute Fourier coefficients (orthonormal) of the projected or 3D potential of atoms.

    A voxel holds the potential averaged over its volume, and an image is the sum of voxels along
    z. The coefficients of an image are therefore ``√D`` times a central slice of the volume's.

    Args:
        positions_angstrom: ``(..., N, 3)`` as (x, y, z), the origin at the centre of the box. For
            images, already in camera coordinates; z is projected away.
        element_of_atom: index into ``form_factors``, ``(N,)``.
        form_factors: one per element.
        support: frequencies; its ``ndim`` is 2 for images, 3 for volumes.
        pixel_size_angstrom: pixel size of that grid, Å.

    Returns:
        Complex64 ``(..., P)``.
    """
    box, ndim = support.box, support.ndim
    unit = 1.0 / (box * pixel_size_angstrom)
    n = int(support.frequencies.abs().max()) + 1
    batch = positions_angstrom.shape[:-2]
    flat = positions_angstrom.reshape(math.prod(batch), *positions_angstrom.shape[-2:])

    # Real waves, cos and sin of frequencies 0 … n−1 along every axis, take half of the arithmetic
    # of complex exponentials at frequencies −n+1 … n−1. Signs are applied at the end.
    octant = torch.zeros(len(flat), (2 * n) ** (ndim - 1), 2 * n)
    k_squared = _octant_radii(n, ndim)
    s_squared = torch.arange(int(k_squared.max()) + 1, dtype=torch.float64) * unit**2
    for e, form_factor in enumerate(form_factors):
        atoms = flat[:, element_of_atom == e]
        if atoms.shape[1] == 0:
            continue
        waves = [axis_waves(atoms[..., axis] * unit, n) for axis in range(ndim)]
        f = form_factor.at(s_squared).float()  # at integer |k|², of which there are few
        octant += sum_over_atoms(waves).mul_(f.index_select(0, k_squared).view(octant.shape[1:]))

    total = from_octant(octant.flatten(1), support.frequencies, n)
    return total.view(*batch, -1) / (pixel_size_angstrom**3 * box ** (ndim / 2))


def axis_waves(coordinate: Tensor, n: int, amplitude: Tensor | float = 1.0) -> Tensor:
    """``cos 2πku`` and ``−sin 2πku`` interleaved, k = 0 … n−1, of u ``(B, N)``: ``(B, N, 2n)``.

    They are multiplied by an amplitude, one number or ``(N,)``. Every product by
    ``e^(−2πi2ʲu)``, whose phase is exact in float64, doubles the range of k. The error is log₂ n
    roundings of float32.
    """
    waves = coordinate.new_empty(*coordinate.shape, n, dtype=torch.complex64)
    waves[..., 0] = amplitude
    phase = (-2 * torch.pi) * coordinate.double()
    step = torch.polar(torch.ones_like(phase), phase)
    known = 1
    while known < n:
        more = min(known, n - known)
        factor = step.to(torch.complex64)[..., None]
        torch.mul(waves[..., :more], factor, out=waves[..., known : known + more])
        step = step * step
        known += more
    return torch.view_as_real(waves).flatten(-2)


def sum_over_atoms(waves: list[Tensor]) -> Tensor:
    """``Σ_a [z_a ⊗] y_a ⊗ x_a`` of waves (x, y[, z]) ``(B, N, 2n)``: ``(B, (2n)^(ndim−1), 2n)``."""
    x, y = waves[:2]
    if len(waves) == 2:
        return y.mT @ x
    z = waves[2]
    step = max(1, _PRODUCT_BYTES // (4 * y.numel()))
    blocks = [
        (part[..., :, None] * y[..., None, :]).flatten(-2).mT @ x for part in z.split(step, dim=-1)
    ]
    return torch.cat(blocks, dim=1)


def _octant_radii(n: int, ndim: int) -> Tensor:
    """``|k|²`` of every entry of the wave basis, integers ``((2n)^ndim,)``."""
    squares = torch.arange(n).repeat_interleave(2).square()
    total = torch.zeros(1, dtype=torch.long)
    for _ in range(ndim):
        total = (total[:, None] + squares).flatten()
    return total


def from_octant(octant: Tensor, frequencies: Tensor, n: int) -> Tensor:
    """Coefficients at signed frequencies ``(P, ndim)`` of sums over waves ``(B, (2n)^ndim)``.

    ``Π_axes (cos − i sign(k) sin) = Σ_p (−i)^|p| Π_{axes in p} sign(k) · wave_p`` over the
    choices p of cos or sin for every axis.
    """
    frequencies = frequencies.to(octant.device)
    total = octant.new_zeros(len(octant), len(frequencies), 2)
    ndim = frequencies.shape[1]
    for parts in product((0, 1), repeat=ndim):
        index = torch.zeros_like(frequencies[:, 0])
        sign = octant.new_ones(len(frequencies))
        for axis in reversed(range(ndim)):
            k = frequencies[:, axis]
            index = index * (2 * n) + 2 * k.abs() + parts[axis]
            if parts[axis]:
                sign = torch.where(k < 0, -sign, sign)
        n_sines = sum(parts)
        # The sines of axis_waves carry (−1) each, which leaves i^|p|.
        if n_sines in (2, 3):
            sign = -sign
        total[..., n_sines % 2] += octant.index_select(1, index) * sign
    return torch.view_as_complex(total)
