"""A test of components: does one move the molecule as a whole, as errors of poses do?

Poses and shifts that are off blur the mean volume, and a linear model explains the blur by
components. They are reproducible, so halves of the movies agree on them. But they look like
derivatives of the mean volume μ: ``(e × r)·∇μ`` for a turn, ``e·∇μ`` for a shift, ``r·∇μ`` for a
scale, and μ itself for a contrast that varies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport, resized

Change = Literal["turn", "shift", "scale", "contrast"]

DOUBTFUL = 0.5
"""Fraction above which a component is doubtful; those of true motions have up to 0.2."""

_BOX = 24  # voxels: detail is noisier than the parts that matter
_CYCLES = 6.0  # width of the Gaussian low-pass


@dataclass(frozen=True)
class Likeness:
    """How far a component looks like a change of the mean volume as a whole.

    Attributes:
        fraction: part of its power that all such changes together explain, from 0 to 1.
        change: the change that explains most of it alone.
    """

    fraction: float
    change: Change


def component_likeness(volumes: Tensor) -> list[Likeness]:
    """Compare every component with changes of the mean volume as a whole.

    Args:
        volumes: μ and q components, ``(q + 1, D, D, D)``.
    """
    small = resized(volumes.cpu().double(), min(volumes.shape[-1], _BOX))
    box = small.shape[-1]
    support = FourierSupport(box, 3)
    smooth = support.fft(small) * torch.exp(-0.5 * (support.radii / _CYCLES) ** 2)
    low = support.ifft(smooth)
    mean, components = low[0], low[1:].flatten(1).T
    changes = _changes(mean, support.ifft(_gradient(smooth[0], support)))
    every = torch.cat(list(changes.values())).flatten(1).T
    together = _explained(every, components)
    alone = {name: _explained(some.flatten(1).T, components) for name, some in changes.items()}
    return [
        Likeness(float(together[j]), max(alone, key=lambda name: float(alone[name][j])))
        for j in range(components.shape[1])
    ]


def _gradient(coefficients: Tensor, support: FourierSupport) -> Tensor:
    """Fourier coefficients of ∂/∂x, ∂/∂y and ∂/∂z, ``(3, P)``."""
    return 2j * torch.pi / support.box * support.frequencies.T * coefficients


def _changes(mean: Tensor, gradient: Tensor) -> dict[Change, Tensor]:
    """Derivatives of the mean volume ``(D, D, D)``, some ``(n, D, D, D)`` of each kind."""
    at = torch.arange(len(mean), dtype=mean.dtype) - len(mean) // 2
    z, y, x = torch.meshgrid(at, at, at, indexing="ij")
    dx, dy, dz = gradient
    return {
        "turn": torch.stack([y * dz - z * dy, z * dx - x * dz, x * dy - y * dx]),
        "shift": gradient,
        "scale": (x * dx + y * dy + z * dz)[None],
        "contrast": mean[None],
    }


def _explained(basis: Tensor, components: Tensor) -> Tensor:
    """Power of components ``(V, q)`` in the span of a basis ``(V, n)``, as fractions ``(q,)``."""
    orthonormal = torch.linalg.qr(basis).Q
    power = components.square().sum(0).clamp(min=1e-30)
    return (orthonormal.T @ components).square().sum(0) / power
