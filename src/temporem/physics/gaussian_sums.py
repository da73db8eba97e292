"""Projections and volumes of a cloud of Gaussians, exact and with gradients.

``V̂(k) = exp(−½ (2πσ|k|)²) Σ_j w_j exp(−2πi k·x_j)`` with k in cycles per voxel. As in
:mod:`temporem.physics.structure_factors`, waves factor by axis, and the sum over Gaussians is a
matrix product.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport
from temporem.physics.structure_factors import axis_waves, from_octant, sum_over_atoms


def gaussian_sums(
    centres: Tensor,
    weights: Tensor,
    sd: Tensor,
    support: FourierSupport,
    n_pixels: int | None = None,
) -> Tensor:
    """Compute Fourier coefficients (orthonormal) of clouds of N Gaussians.

    Args:
        centres: ``(..., N, ndim)`` ordered (x, y[, z]), voxels, the origin at the centre of the
            box. For images, in camera coordinates without z.
        weights: integral of each Gaussian, ``(N,)``.
        sd: their common standard deviation σ, voxels, a scalar.
        support: frequencies, of images or of volumes.
        n_pixels: number of frequencies, the lowest ones; all when None.

    Returns:
        Complex64 ``(..., P)``. An image is the sum of its voxels along z, so that its coefficients
        are ``√D`` times a central slice of the volume's.
    """
    frequencies = support.frequencies[:n_pixels]
    n = int(frequencies.abs().max()) + 1
    flat = centres.reshape(-1, *centres.shape[-2:])
    if support.ndim == 2:
        octant = _Projections.apply(flat, weights, n, support.box)
    else:
        waves = [_Waves.apply(axis, n, support.box) for axis in flat.unbind(-1)]
        waves[0] = waves[0] * weights[:, None]
        octant = sum_over_atoms(waves)
    octant = octant.flatten(1)
    radii = frequencies.square().sum(-1).to(centres) * (2 * math.pi / support.box) ** 2
    envelope = (-0.5 * sd.square() * radii).exp() / support.box ** (support.ndim / 2)
    total = from_octant(octant, frequencies, n) * envelope
    return total.view(*centres.shape[:-2], -1)


class _Projections(torch.autograd.Function):
    """``Σ_a w_a y_a ⊗ x_a`` of waves of x/D and y/D, with gradients in few passes over the waves.

    ``(B, N, 2)`` and ``(N,)`` → ``(B, 2n, 2n)``. Images are most of the work of a training, and
    passes over the waves most of an image. So weights are part of the x waves, and the conjugates
    that gradients need are taken in the small matrix.
    """

    @staticmethod
    def forward(ctx: Any, centres: Tensor, weights: Tensor, n: int, box: int) -> Tensor:
        x = axis_waves(centres[..., 0] / box, n, weights)
        y = axis_waves(centres[..., 1] / box, n)
        ctx.save_for_backward(x, y, weights)
        ctx.box = box
        return y.mT @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, y, weights = ctx.saved_tensors
        n = x.shape[-1] // 2
        conjugate = x.new_tensor([1.0, -1.0]).repeat(n)
        steps = torch.arange(n, device=x.device) * (2 * math.pi / ctx.box)
        sums = torch.stack([steps, torch.ones_like(steps)], dim=1).to(torch.complex64)
        (gradient,) = gradients
        by_x = _complex(x) * _complex(y @ (gradient * conjugate))
        by_y = _complex(y) * _complex(x @ (gradient.mT * conjugate))
        of_x, of_y = by_x @ sums, by_y @ sums[:, :1]
        of_centres = torch.stack([of_x[..., 0].imag, of_y[..., 0].imag], dim=-1)
        return of_centres, of_x[..., 1].real.sum(0) / weights, None, None


def _complex(pairs: Tensor) -> Tensor:
    """Read pairs of real numbers ``(…, 2n)`` as complex ones ``(…, n)``."""
    return torch.view_as_complex(pairs.unflatten(-1, (-1, 2)))


class _Waves(torch.autograd.Function):
    """``axis_waves`` of x/D with gradients, which need nothing but the waves."""

    @staticmethod
    def forward(ctx: Any, coordinate: Tensor, n: int, box: int) -> Tensor:
        waves = axis_waves(coordinate / box, n)
        ctx.save_for_backward(waves)
        ctx.box = box
        return waves

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        waves, gradient = (
            _complex(values.contiguous()) for values in (*ctx.saved_tensors, *gradients)
        )
        by_phase = waves.conj() * gradient
        steps = torch.arange(waves.shape[-1], device=waves.device) * (-2 * math.pi / ctx.box)
        return (by_phase @ steps.to(by_phase)).imag, None, None
