"""Even grids of orientations, over all of SO(3) and around one orientation, and of shifts."""

from __future__ import annotations

import math

import roma
import torch
from torch import Tensor

from temporem.physics.rotations import rotation_of_vector

# Constants of Alexa (2022): φ² = 2, and the positive root of ψ⁴ = ψ + 4.
_PHI = math.sqrt(2.0)
_PSI = 1.533751168755204288118041


def even_rotations(spacing_degrees: float) -> Tensor:
    """Spread rotations evenly over SO(3), about ``spacing_degrees`` apart: float64 ``(M, 3, 3)``.

    They lie on a super-Fibonacci spiral of unit quaternions (Alexa, CVPR 2022). With angles as
    distance, SO(3) has the volume ``8π²``, so ``M = 8π² / spacing³``: 4,400 at 15°.
    """
    n = max(1, math.ceil(8 * math.pi**2 / math.radians(spacing_degrees) ** 3))
    s = torch.arange(n, dtype=torch.float64) + 0.5
    inner, outer = (s / n).sqrt(), (1 - s / n).sqrt()
    alpha, beta = 2 * math.pi * s / _PHI, 2 * math.pi * s / _PSI
    return roma.unitquat_to_rotmat(
        torch.stack(
            [inner * alpha.sin(), inner * alpha.cos(), outer * beta.sin(), outer * beta.cos()],
            dim=-1,
        )
    )


def small_turns(spacing_degrees: float, steps: int) -> Tensor:
    """Rotations by vectors on a cubic lattice: float64 ``((2 steps + 1)³, 3, 3)``.

    ``small_turns(…)[:, None] @ R`` surrounds the orientations R. A lattice of spacing δ around each
    rotation of a grid of spacing 2δ subdivides the grid.
    """
    axis = torch.arange(-steps, steps + 1, dtype=torch.float64) * math.radians(spacing_degrees)
    return rotation_of_vector(torch.cartesian_prod(axis, axis, axis))


def disc_lattice(radius: float, spacing: float) -> Tensor:
    """Points of a square lattice within a radius of 0, nearest first: float64 ``(T, 2)``."""
    n = math.floor(radius / spacing + 1e-9)
    axis = torch.arange(-n, n + 1, dtype=torch.float64) * spacing
    points = torch.cartesian_prod(axis, axis)
    distance = points.norm(dim=-1)
    points = points[distance <= radius + 1e-9]
    return points[points.norm(dim=-1).argsort(stable=True)]
