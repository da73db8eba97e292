"""Weighted back-projection: the one volume that explains all frames best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.models.voxels import grid_radii, grid_to_volume, insert_symmetric
from temporem.physics.forward import ForwardModel
from temporem.physics.masks import soft_ball
from temporem.physics.support import FourierSupport


@dataclass(frozen=True)
class HomogeneousVolume:
    """Result of :func:`reconstruct_homogeneous`.

    Attributes:
        volume: Wiener-regularised volume of all frames, ``(D, D, D)``.
        half_volumes: of the even and the odd movies, ``(2, D, D, D)``.
        half_fsc: Fourier shell correlation of the two, ``(D/2,)``.
    """

    volume: Tensor
    half_volumes: Tensor
    half_fsc: Tensor


class BackProjection:
    """Sums over frames from which a volume is solved, ``(2D)³`` each.

    ``numerator = Σ Pᵀ CTF y`` and ``weight = Σ Pᵀ CTF²`` with P the slicing operator.
    """

    def __init__(self, box: int) -> None:
        edge = 2 * box
        self.box = box
        self.numerator = torch.zeros(edge, edge, edge, dtype=torch.complex64)
        self.weight = torch.zeros(edge, edge, edge)

    def add(self, images: Tensor, contrast: Tensor, frequencies: Tensor) -> None:
        """Add frames: images and CTF ``(F, P)``, sampled at ``(F, P, 3)`` cycles per box."""
        self.numerator += insert_symmetric(images * contrast, frequencies, self.box).cpu()
        self.weight += insert_symmetric(contrast.square(), frequencies, self.box).cpu()

    def __add__(self, other: BackProjection) -> BackProjection:
        total = BackProjection(self.box)
        total.numerator = self.numerator + other.numerator
        total.weight = self.weight + other.weight
        return total

    def solve(self, signal_to_noise: Tensor) -> Tensor:
        """Volume ``V̂ = numerator / (weight + w̄ / SNR)``, ``(D, D, D)``.

        ``w̄`` is the shell's mean weight and ``signal_to_noise`` its spectral signal-to-noise ratio,
        given at integer radii 0 … D/2 − 1.
        """
        radius = grid_radii(self.box)
        shell = radius.round().long()
        inside = radius < self.box / 2
        shell = torch.where(inside, shell, self.box // 2)
        counts = torch.bincount(shell.flatten(), minlength=self.box // 2 + 1).clamp(min=1)
        sums = torch.bincount(shell.flatten(), self.weight.flatten(), self.box // 2 + 1)
        ratio = torch.cat([signal_to_noise, signal_to_noise[-1:]]).clamp(min=1e-4)
        damping = (sums / counts / ratio)[shell]
        solved = self.numerator / (self.weight + damping).clamp(min=1e-12)
        return grid_to_volume(torch.where(inside, solved, 0))


def reconstruct_homogeneous(
    forward_model: ForwardModel,
    frames: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]],
    window_radius: float,
) -> HomogeneousVolume:
    """Wiener-filtered weighted back-projection, regularised by the FSC of half-movie sets.

    With FSC between halves, ``SNR = 2 FSC / (1 − FSC)`` for all frames in the units of
    :meth:`BackProjection.solve`.

    Args:
        forward_model: image formation.
        frames: blocks of (images ``(F, P)`` with unit noise, CTF, rotations, half index 0 or 1).
        window_radius: radius of the ball outside which the volume is set to 0, in half boxes.
    """
    box = forward_model.box
    halves = (BackProjection(box), BackProjection(box))
    for images, contrast, rotations, half in frames:
        frequencies = forward_model.slice_frequencies(rotations)
        for index in (0, 1):
            chosen = half == index
            halves[index].add(images[chosen], contrast[chosen], frequencies[chosen])
    radius = window_radius * box / 2
    ball = soft_ball(box, 3, radius - 0.05 * box, 0.05 * box)
    support = FourierSupport(box, 3)
    flat = torch.full((box // 2,), 10.0)
    half_volumes = torch.stack([half.solve(flat) * ball for half in halves])
    a, b = support.analyse(half_volumes)
    cross = support.shell_sums((a.conj() * b).real)
    powers = support.shell_sums(a.abs().square()) * support.shell_sums(b.abs().square())
    fsc = cross / powers.sqrt().clamp(min=1e-30)
    ratio = 2 * fsc.clamp(0, 0.999) / (1 - fsc.clamp(0, 0.999))
    volume = (halves[0] + halves[1]).solve(ratio) * ball
    return HomogeneousVolume(volume, half_volumes, fsc)
