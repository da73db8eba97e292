"""The Fourier grid on which volumes are sliced and solved for: padded by 2, half of it stored.

Slices are in the units of an image, ``√D V̂``. A real volume has ``G(−k) = conj G(k)`` (Friedel), so
voxels with ``kx ≥ 0`` suffice: a sample with ``kx < 0`` is read from, and added to, its mirror.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from types import EllipsisType

import torch
from torch import Tensor, nn

from temporem.physics.row_sums import add_to_rows

PADDING = 2


def gridding_correction(box: int) -> Tensor:
    """Factor of trilinear interpolation on a volume, ``Π_axis sinc²(x / 2D)``: ``(D, D, D)``."""
    axis = torch.sinc((torch.arange(box) - box // 2) / (PADDING * box)).square()
    return axis[:, None, None] * axis[:, None] * axis


@dataclass(frozen=True)
class Corners:
    """Trilinear interpolation of n samples.

    Attributes:
        index: rows of the 8 voxels around each sample, int32 where that holds all, ``(n, 8)``.
        weight: their weights, ``(n, 8)``, summing to 1.
        mirrored: samples that stand for their mirror and are conjugate, bool ``(n,)``.
    """

    index: Tensor
    weight: Tensor
    mirrored: Tensor

    def restore(self, values: Tensor) -> Tensor:
        """Conjugate complex samples ``(n, C)`` that were read from the mirror, or go there."""
        return torch.where(self.mirrored[:, None], values.conj(), values)


@dataclass(frozen=True)
class PaddedGrid:
    """Half of the padded Fourier grid of volumes with edge ``box``, as V rows of C channels.

    Voxels are at ``k = (kx, ky, kz) / 2`` cycles per box, with ``kx = 0 … D``, the others
    ``−D … D``. Those with ``|k| > radius`` are zero.

    Args:
        box: edge D of the volumes in voxels, even. For frequencies up to r far below Nyquist, a
            coarse box of ``2 (r + 2)`` voxels over the same field of view is enough.
        radius: highest frequency, cycles per box, at most ``box / 2``.
        device: device of all tensors.
    """

    box: int
    radius: float
    device: torch.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """Stored voxels (z, y, x)."""
        edge = PADDING * self.box
        return edge + 1, edge + 1, edge // 2 + 1

    @cached_property
    def radii(self) -> Tensor:
        """``|k|`` of every row, cycles per box: ``(V,)``."""
        half = PADDING * self.box // 2
        full = torch.arange(-half, half + 1, device=self.device) / PADDING
        squares, positive = full.square(), full[half:].square()
        return (squares[:, None, None] + squares[:, None] + positive).sqrt().flatten()

    @cached_property
    def inside(self) -> Tensor:
        """Rows within the radius, bool ``(V,)``."""
        return self.radii <= self.radius

    @cached_property
    def shells(self) -> Tensor:
        """Integer shell of every row, ``(V,)``; the last one beyond the radius."""
        return self.radii.round().long().clamp(max=self.n_shells - 1)

    @property
    def n_shells(self) -> int:
        return int(self.radius) + 2

    @cached_property
    def multiplicity(self) -> Tensor:
        """Multiplicity of a row in the whole grid: 1 at kx = 0, else 2, 0 outside: ``(V,)``."""
        twice = torch.full(self.shape, 2.0, device=self.device)
        twice[..., 0] = 1
        return twice.flatten() * self.inside

    def shell_means(self, values: Tensor) -> Tensor:
        """Mean of real ``(V, C)`` over shells of the grid: ``(n_shells, C)``."""
        weight = self.multiplicity[:, None].to(values)
        sums = values.new_zeros(self.n_shells, values.shape[1])
        sums.index_add_(0, self.shells, values * weight)
        counts = values.new_zeros(self.n_shells, 1).index_add_(0, self.shells, weight)
        return sums / counts.clamp(min=1)

    def corners(self, frequencies: Tensor) -> Corners:
        """Prepare interpolation at n points ``(..., 3)``, cycles per box, ordered (x, y, z)."""
        points = PADDING * frequencies.reshape(-1, 3).T.contiguous()
        mirrored = points[0] < 0
        points = torch.where(mirrored, -points, points)
        base = points.floor()
        upper = points - base
        lower = 1 - upper
        x, y, z = base.to(torch.int32 if math.prod(self.shape) < 2**31 else torch.int64)
        _, height, width = self.shape
        centre = PADDING * self.box // 2
        first = ((z + centre) * height + y + centre) * width + x
        bits = torch.arange(8, dtype=first.dtype, device=first.device)
        # Offsets of the 8 corners; x varies fastest.
        steps = bits % 2 + bits // 2 % 2 * width + bits // 4 * (height * width)
        of_x = torch.stack([lower[0], upper[0]], dim=1)
        of_y = torch.stack([lower[1], upper[1]], dim=1)
        of_yz = torch.cat([of_y * lower[2, :, None], of_y * upper[2, :, None]], dim=1)
        weight = (of_yz[:, :, None] * of_x[:, None]).flatten(1)
        return Corners(first[:, None] + steps, weight, mirrored)

    def extract(self, rows: Tensor, corners: Corners) -> Tensor:
        """Sample complex rows ``(V, C)`` at the corners' points: ``(n, C)``."""
        real = torch.view_as_real(rows).flatten(1)
        sampled = nn.functional.embedding_bag(
            corners.index, real, mode="sum", per_sample_weights=corners.weight
        )
        return corners.restore(torch.view_as_complex(sampled.unflatten(1, (-1, 2))))

    def insert(self, rows: Tensor, corners: Corners, values: Tensor) -> None:
        """Add real ``values (n, C)`` to real ``rows (V, C)`` in place: the adjoint of sampling.

        Insert complex values as real and imaginary channels, after :meth:`Corners.restore`. Call
        :meth:`close` after the last insertion.
        """
        add_to_rows(rows, corners.index, corners.weight, values)

    def close(self, rows: Tensor, sign: Tensor) -> None:
        """Add, in place, the Friedel mirrors of samples to voxels at kx = 0.

        Args:
            rows: real ``(V, C)``, after all insertions.
            sign: sign of channels under conjugation, −1 for imaginary parts: ``(C,)``.
        """
        plane = rows.view(*self.shape, -1)[:, :, 0]
        plane += plane.flip(0, 1) * sign

    def from_volumes(self, volumes: Tensor) -> Tensor:
        """Transform volumes ``(C, D, D, D)`` to complex rows ``(V, C)`` that can be sampled."""
        edge = PADDING * self.box
        correction = gridding_correction(self.box).to(volumes, non_blocking=True)
        padded = volumes.new_zeros(len(volumes), edge, edge, edge)
        scaled = volumes / correction
        for centred, wrapped in _wrapped(self.box, edge, 3):
            padded[wrapped] = scaled[centred]
        half_grid = torch.fft.rfftn(padded, dim=(-3, -2, -1)).div_(self.box)
        rows = half_grid.new_zeros(len(volumes), *self.shape)
        for centred, wrapped in _wrapped(edge, edge, 2):
            rows[centred] = half_grid[wrapped]
        return rows.flatten(1).T.contiguous().mul_(self.inside[:, None])

    def to_volumes(self, rows: Tensor) -> Tensor:
        """Transform complex rows ``(V, C)``, solved from samples, to volumes ``(C, D, D, D)``.

        Both directions divide by :func:`gridding_correction`. Sampling the rows of
        :meth:`from_volumes` and solving from these samples therefore gives the volumes back.
        """
        edge = PADDING * self.box
        channels, inside = rows.T.reshape(-1, *self.shape), self.inside.view(self.shape)
        half_grid = rows.new_empty(len(channels), edge, edge, edge // 2 + 1)
        for centred, wrapped in _wrapped(edge, edge, 2):
            half_grid[wrapped] = channels[centred] * inside[centred]
        padded = torch.fft.irfftn(half_grid, s=(edge,) * 3, dim=(-3, -2, -1)).mul_(self.box)
        volumes = padded.new_empty(len(channels), self.box, self.box, self.box)
        for centred, wrapped in _wrapped(self.box, edge, 3):
            volumes[centred] = padded[wrapped]
        return volumes / gridding_correction(self.box).to(volumes)


def full_grid(box: int, device: torch.device) -> PaddedGrid:
    """The grid that holds all frequencies below Nyquist."""
    return PaddedGrid(box, box / 2 - 0.5 / PADDING, device)


def grid_below(box: int, radius: float) -> PaddedGrid:
    """The smallest grid for frequencies below a radius, cycles per box."""
    coarse = 2 * math.ceil(radius + 2)
    cpu = torch.device("cpu")
    return full_grid(box, cpu) if coarse >= box else PaddedGrid(coarse, radius, cpu)


def _wrapped(
    size: int, edge: int, n_axes: int
) -> Iterator[tuple[tuple[EllipsisType | slice, ...], tuple[EllipsisType | slice, ...]]]:
    """Pairs of slices that copy an array part by part between two layouts.

    In the first layout axes z, y[, x] have ``size`` entries and the origin at ``size // 2``. In the
    second they have ``edge`` entries and the origin at 0, as an FFT does; entries far from the
    origin are not covered. Rolling whole arrays would take longer than their FFT.
    """
    half = size // 2
    positive = (slice(half, size), slice(0, half))
    negative = (slice(0, half), slice(edge - half, edge))
    rest = (slice(None),) * (3 - n_axes)
    for parts in product((positive, negative), repeat=n_axes):
        centred, wrapped = zip(*parts, strict=True)
        yield (..., *centred, *rest), (..., *wrapped, *rest)
