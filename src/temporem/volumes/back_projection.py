"""Weighted back-projection: the single volume that explains all frames best."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import shell_correlation
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import PADDING, PaddedGrid, full_grid


@dataclass(frozen=True)
class HomogeneousVolume:
    """Result of :func:`back_project`.

    Attributes:
        volume: Wiener-regularised volume of all frames, ``(D, D, D)``.
        half_volumes: volumes of the even and of the odd movies, ``(2, D, D, D)``.
        half_fsc: Fourier shell correlation of the half volumes, ``(D/2,)``.
    """

    volume: Tensor
    half_volumes: Tensor
    half_fsc: Tensor


class BackProjection:
    """Sums over frames from which a volume is solved, on a padded grid.

    ``numerator = Σ Pᵀ CTF y`` and ``weight = Σ Pᵀ CTF²`` with P the slicing operator.
    """

    def __init__(self, grid: PaddedGrid) -> None:
        self.grid = grid
        self.sums = torch.zeros(math.prod(grid.shape), 3)

    def add(self, images: Tensor, ctf: Tensor, frequencies: Tensor) -> None:
        """Add frames: images and CTF ``(F, P)``, sampled at ``(F, P, 3)`` cycles per box."""
        self.add_sums(images * ctf, ctf.square(), frequencies)

    def add_sums(self, values: Tensor, weights: Tensor, frequencies: Tensor) -> None:
        """Add sums of CTF y and of CTF² over frames with the same samples, ``(F, P)``."""
        corners = self.grid.corners(frequencies)
        values = corners.restore(values.reshape(-1, 1))
        weights = weights.reshape(-1, 1)
        self.grid.insert(self.sums, corners, torch.cat([values.real, values.imag, weights], dim=1))

    def __add__(self, other: BackProjection) -> BackProjection:
        total = BackProjection(self.grid)
        total.sums = self.sums + other.sums
        return total

    def solve(self, signal_to_noise: Tensor) -> Tensor:
        """Solve ``V̂ = numerator / (weight + w̄ / SNR)`` for a volume ``(D, D, D)``.

        ``w̄`` is the mean weight of the shell.

        Args:
            signal_to_noise: spectral signal-to-noise ratio at integer radii 0 … D/2 − 1.
        """
        mean_weight = self.grid.shell_means(self._closed[:, 2:])[:, 0]
        return self._damped(mean_weight / self._by_shell(signal_to_noise).clamp(min=1e-4))

    def solve_with_power(self, power: Tensor) -> Tensor:
        """Solve ``V̂ = numerator / (weight + 1 / 8τ²)`` for a volume ``(D, D, D)``.

        It is the posterior mean under a Gaussian prior (Scheres 2012). The padded grid holds every
        independent coefficient eight times over.

        Args:
            power: power τ² of slices at integer radii.
        """
        return self._damped(1 / (PADDING**3 * self._by_shell(power)))

    @property
    def _closed(self) -> Tensor:
        sums = self.sums.clone()
        self.grid.close(sums, torch.tensor([1.0, -1.0, 1.0]))
        return sums

    def _by_shell(self, values: Tensor) -> Tensor:
        shells = torch.arange(self.grid.n_shells)
        return values.to(self.sums)[shells.clamp(max=len(values) - 1)]

    def _damped(self, damping: Tensor) -> Tensor:
        grid, sums = self.grid, self._closed
        weight = sums[:, 2:] + damping[grid.shells, None]
        numerator = torch.complex(sums[:, :1], sums[:, 1:2])
        return grid.to_volumes(numerator / weight.clamp(min=1e-12))[0]


@dataclass(frozen=True)
class HalfSets:
    """Two volumes of half of the frames each.

    Attributes:
        volumes: ``(2, D, D, D)``.
        fsc: Fourier shell correlation of the two, ``(D/2,)``.
    """

    volumes: Tensor
    fsc: Tensor

    @classmethod
    def of(cls, one: BackProjection, other: BackProjection, mask: Tensor) -> HalfSets:
        """Solve both with little regularisation, and multiply by a mask ``(D, D, D)``."""
        box = one.grid.box
        support = FourierSupport(box, 3)
        flat = torch.full((box // 2,), 10.0)
        volumes = torch.stack([half.solve(flat) * mask for half in (one, other)])
        a, b = support.fft(volumes)
        cross = support.shell_sums((a.conj() * b).real)
        powers = [support.shell_sums(half.abs().square()) for half in (a, b)]
        return cls(volumes, shell_correlation(cross, *powers))

    @property
    def signal_to_noise(self) -> Tensor:
        """``2 FSC / (1 − FSC)`` of all frames (Rosenthal and Henderson 2003), ``(D/2,)``."""
        return 2 * self.fsc.clamp(0, 0.999) / (1 - self.fsc.clamp(0, 0.999))


def back_project(
    forward_model: ForwardModel,
    frames: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]],
    window_radius: float,
) -> HomogeneousVolume:
    """Reconstruct a volume with a Wiener filter from the FSC of half sets of movies.

    Args:
        forward_model: image formation.
        frames: blocks of images ``(F, P)`` with unit noise, CTF, rotations and half set, 0 or 1.
        window_radius: radius of the ball outside which the volume is set to 0, in half boxes.
    """
    box = forward_model.box
    grid = full_grid(box, torch.device("cpu"))
    halves = (BackProjection(grid), BackProjection(grid))
    for images, ctf, rotations, half in frames:
        frequencies = forward_model.slice_frequencies(rotations)
        for index in (0, 1):
            chosen = half == index
            halves[index].add(images[chosen], ctf[chosen], frequencies[chosen])
    ball = window_ball(box, window_radius)
    pair = HalfSets.of(*halves, ball)
    volume = (halves[0] + halves[1]).solve(pair.signal_to_noise) * ball
    return HomogeneousVolume(volume, pair.volumes, pair.fsc)
