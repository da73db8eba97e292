"""Rotational symmetry of a volume: turns that images cannot tell apart.

If a volume looks the same after a turn S, then the poses R and R S have the same images, and a
search for poses finds one of them by chance. So the volume is compared with itself, turned by
360°/n about many axes, by a Fourier shell correlation,

``FSC_S(s) = Σ Re V̂(k)* V̂(S k) / √(Σ |V̂(k)|² · Σ |V̂(S k)|²)``   over |k| in s,

and its mean over shells is divided by what noise permits: two noisy volumes of one molecule agree
by ``2 h / (1 + h)`` where the half sets of either agree by h (Rosenthal and Henderson 2003).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from temporem.physics.fourier import FourierSupport, resized
from temporem.physics.fsc import shell_correlation
from temporem.physics.padded_grid import PaddedGrid, grid_below
from temporem.physics.rotations import rotation_about_axis

ORDERS = (2, 3, 4, 5, 6)
"""Orders n of the turns by 360° / n that are tried."""

SYMMETRIC = 0.9
"""Agreement from which a volume counts as symmetric."""

_COARSE_RADIUS, _FINE_RADIUS, _FIRST_SHELL = 4, 8, 2  # cycles per box
_AXES = 400  # of half a sphere, 7° apart
_LEAST_POWER = 1e-3  # of the strongest shell; below, interpolation errors of others prevail
_HALF_AGREEMENT = 0.5  # of half sets, up to which shells are compared
_STEPS = 120  # steps of the simplex that refines an axis
_FIRST_STEP = 0.06  # radians; for the centre a tenth of it, in box lengths
_ABOUT_ONE_AXIS = math.radians(10)


@dataclass(frozen=True)
class Symmetry:
    """Approximate or exact rotational symmetry of a volume.

    Attributes:
        order: largest n of a symmetric turn by 360° / n; 1 for none, 0 for a body of revolution,
            which looks the same after any turn about the axis.
        dihedral: there is also an axis of order 2 at right angles.
        axis: unit vector (x, y, z) in the volume; without symmetry, of the best turn.
        agreement: agreement of the volume with the turned one, as a fraction of what noise permits;
            without symmetry, of the best turn.
    """

    order: int
    dihedral: bool
    axis: tuple[float, float, float]
    agreement: float

    @property
    def name(self) -> str:
        """Schoenflies symbol, such as ``C3`` or ``D2``; ``C1`` for none."""
        letter = "D" if self.dihedral else "C"
        return f"{letter}{self.order}" if self.order else f"{letter}∞"


NO_SYMMETRY = Symmetry(order=1, dihedral=False, axis=(0.0, 0.0, 1.0), agreement=0.0)
"""Symmetry of a volume of which nothing is known."""


def find_symmetry(volume: Tensor, half_fsc: Tensor) -> Symmetry:
    """Look for turns by 360°/2 … 360°/6 that leave a volume as it is; takes about a second.

    Axes through the centre of mass are tried on a grid over half a sphere at low resolution; the
    best one for each order is refined together with the centre. Tetrahedral, octahedral and
    icosahedral groups are reported by one of their axes.

    Args:
        volume: the volume, ``(D, D, D)``.
        half_fsc: FSC of half sets at integer radii from 0, at most D / 2 of them.
    """
    below = (half_fsc[_FIRST_SHELL:] < _HALF_AGREEMENT).nonzero()
    last = _FIRST_SHELL + int(below[0]) - 1 if len(below) else len(half_fsc) - 1
    radius = min(max(last, _FIRST_SHELL + 1), _FINE_RADIUS, volume.shape[-1] // 2 - 1)
    fine = _Turns.of(volume, half_fsc, radius)
    coarse = _Turns.of(volume, half_fsc, min(radius, _COARSE_RADIUS))
    axes = _half_sphere(_AXES)
    found = {}
    for order in ORDERS:
        angle = torch.full((len(axes),), 2 * math.pi / order, dtype=torch.float64)
        best = axes[int(coarse.agreement(rotation_about_axis(axes, angle)).argmax())]
        found[order] = _refined(fine, best, order)
    symmetric = [order for order in ORDERS if found[order].agreement > SYMMETRIC]
    if not symmetric:
        best_turn = max(found.values(), key=lambda turn: turn.agreement)
        return Symmetry(1, False, best_turn.named_axis, best_turn.agreement)
    main = found[symmetric[-1]]
    order = symmetric[-1]
    # No finite group has one axis of order 5 and 6.
    if {5, 6} <= set(symmetric) and _apart(found[5].axis, found[6].axis) < _ABOUT_ONE_AXIS:
        order = 0
    across = _refined_across(fine, main)
    dihedral = across > SYMMETRIC
    return Symmetry(order, dihedral, main.named_axis, main.agreement)


@dataclass(frozen=True)
class _Turn:
    axis: Tensor
    centre: Tensor
    agreement: float

    @property
    def named_axis(self) -> tuple[float, float, float]:
        """The axis with the sign, which means nothing, that makes its largest entry positive."""
        x, y, z = (self.axis * self.axis[self.axis.abs().argmax()].sign()).tolist()
        return x, y, z


@dataclass(frozen=True)
class _Turns:
    """A volume at the frequencies of some shells.

    Attributes:
        grid, rows: the volume on a grid, to be sampled.
        frequencies: cycles per box, ``(P, 3)``.
        values: coefficients there, about the box's centre, ``(P,)``.
        shells: shell of each, counted from 0, ``(P,)``.
        power: ``Σ |V̂|²`` of shells.
        weight: weights of the shells' FSC, such that a perfect copy agrees by 1, noise included.
        centre: centre of mass, in box lengths from the box's centre (x, y, z).
    """

    grid: PaddedGrid
    rows: Tensor
    frequencies: Tensor
    values: Tensor
    shells: Tensor
    power: Tensor
    weight: Tensor
    centre: Tensor

    @classmethod
    def of(cls, volume: Tensor, half_fsc: Tensor, radius: int) -> _Turns:
        grid = grid_below(volume.shape[-1], radius + 0.5)
        smooth = resized(volume[None], grid.box)
        rows = grid.from_volumes(smooth)
        support = FourierSupport(grid.box, 3, radius + 0.5)
        chosen = (support.shells >= _FIRST_SHELL) & (support.shells <= radius)
        frequencies = support.frequencies[chosen].float()
        values = grid.box**0.5 * support.fft(smooth)[0, chosen]
        shells = support.shells[chosen] - _FIRST_SHELL
        power = torch.zeros(radius + 1 - _FIRST_SHELL)
        power.index_add_(0, shells, values.abs().square())
        count = torch.zeros_like(power).index_add_(0, shells, torch.ones(len(shells)))
        weight = (power / count > _LEAST_POWER * (power / count).max()).float()
        weight = weight / weight.sum().clamp(min=1)
        h = half_fsc[_FIRST_SHELL : radius + 1].clamp(0, 1).float()
        permitted = max(float(weight @ (2 * h / (1 + h))), 1e-3)
        centre = _centre_of_mass(smooth[0])
        return cls(grid, rows, frequencies, values, shells, power, weight / permitted, centre)

    def agreement(self, rotations: Tensor, centre: Tensor | None = None) -> Tensor:
        """Mean FSC with the volume turned by ``(B, 3, 3)``, over what noise permits: ``(B,)``."""
        b, p = len(rotations), len(self.frequencies)
        points = torch.einsum("bij,pj->bpi", rotations.float(), self.frequencies)
        turned = self.grid.extract(self.rows, self.grid.corners(points)).view(b, p)
        move = (points - self.frequencies) @ (self.centre if centre is None else centre).float()
        moved = turned * torch.polar(torch.ones_like(move), 2 * math.pi * move)
        sums = torch.zeros(2, b, len(self.power))
        sums[0].index_add_(1, self.shells, (self.values.conj() * moved).real)
        # Interpolation loses power far from the centre, so both powers normalise.
        sums[1].index_add_(1, self.shells, turned.abs().square())
        return shell_correlation(sums[0], self.power, sums[1]) @ self.weight


def _centre_of_mass(volume: Tensor) -> Tensor:
    """Centre of mass of dense voxels, in box lengths from the box's centre, (x, y, z)."""
    box = volume.shape[-1]
    dense = (volume - 0.2 * volume.max()).clamp(min=0).double()
    axis = (torch.arange(box, dtype=torch.float64) - box // 2) / box
    along = [dense.sum(dim=other) @ axis for other in ((0, 1), (0, 2), (1, 2))]
    return torch.stack(along) / dense.sum().clamp(min=1e-30)


def _half_sphere(n: int) -> Tensor:
    """Unit vectors spread evenly over the half with z > 0: ``(n, 3)``.

    A Fibonacci lattice (Swinbank and Purser 2006).
    """
    i = torch.arange(n, dtype=torch.float64) + 0.5
    z, turn = 1 - i / n, math.pi * (1 + 5**0.5) * i
    around = (1 - z.square()).sqrt()
    return torch.stack([around * turn.cos(), around * turn.sin(), z], dim=-1)


def _across(axis: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors at right angles to an axis and to one another."""
    other = torch.eye(3, dtype=torch.float64)[int(axis.abs().argmin())]
    first = torch.linalg.cross(axis, other)
    first = first / first.norm()
    return first, torch.linalg.cross(axis, first)


def _apart(a: Tensor, b: Tensor) -> float:
    """Angle between two axes, radians."""
    return float((a @ b).abs().clamp(max=1).acos())


def _refined(turns: _Turns, axis: Tensor, order: int) -> _Turn:
    first, second = _across(axis)

    def at(x: Tensor) -> tuple[Tensor, Tensor]:
        tilted = axis + x[0] * first + x[1] * second
        return tilted / tilted.norm(), turns.centre + 0.1 * x[2:]

    def loss(x: Tensor) -> float:
        tilted, centre = at(x)
        turn = rotation_about_axis(tilted, torch.tensor(2 * math.pi / order).double())
        return -float(turns.agreement(turn[None], centre)[0])

    x, value = _lowest(loss, 5)
    return _Turn(*at(x), -value)


def _refined_across(turns: _Turns, main: _Turn) -> float:
    """Best agreement after half a turn about an axis at right angles to the main one."""
    first, second = _across(main.axis)

    def half_turns(azimuth: Tensor) -> Tensor:
        axes = azimuth.cos()[:, None] * first + azimuth.sin()[:, None] * second
        return rotation_about_axis(axes, torch.full_like(azimuth, math.pi))

    around = torch.deg2rad(torch.arange(0, 180, 4, dtype=torch.float64))
    best = around[int(turns.agreement(half_turns(around), main.centre).argmax())]

    def loss(x: Tensor) -> float:
        centre = main.centre + 0.1 * x[1:]
        return -float(turns.agreement(half_turns((best + x[0])[None]), centre)[0])

    return -_lowest(loss, 4)[1]


def _lowest(loss: Callable[[Tensor], float], n: int) -> tuple[Tensor, float]:
    """Minimum of a function of n numbers from 0, and its value (Nelder and Mead 1965)."""
    simplex = np.vstack([np.zeros(n), _FIRST_STEP * np.eye(n)])
    result = minimize(
        lambda x: loss(torch.from_numpy(x)),
        np.zeros(n),
        method="Nelder-Mead",
        options={"maxfev": _STEPS, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-4},
    )
    return torch.from_numpy(result.x), float(result.fun)
