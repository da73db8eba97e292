"""Agreement of two models of half of the movies each, frame by frame and state by state.

The mean of a molecule agrees in two half sets even if their motions are noise. So the change of a
frame, its volume less the mean of its half set, has an FSC of its own:

``FSC(s) = Re Σ_t Σ_{k∈s} conj(A_t − Ā) (B_t − B̄) / √(Σ_t Σ |A_t − Ā|² · Σ_t Σ |B_t − B̄|²)``.

Both half sets infer the latent of a frame from its image, so that A_t and B_t are meant to be one
volume, however their latents are scaled or bent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.linear.masks import moving_mask, solvent_mask
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import (
    HALF_MAP_THRESHOLD,
    fourier_shell_correlation,
    power_spectrum,
    resolution,
    shell_correlation,
)

REGIONS = ("particle", "moving")
"""Masks in which volumes are compared: where the molecule is, and where it moves."""

_STATES = 10
_RANDOM_BELOW = 0.8  # FSC from which phases are randomised (Chen and others 2013)
_CLEAR_SHELLS = 2  # beyond which the correction holds
_MOST_RANDOM = 0.999
_ROUNDING = 1e-5  # of the largest voxel
_FLAT = 1e-12


@dataclass(frozen=True, eq=False)
class Curve:
    """An FSC curve of half sets with what a mask alone would give.

    Attributes:
        fsc: as measured, ``(n_shells,)``.
        corrected: without what the mask adds (Chen and others 2013).
        angstrom: resolution of the corrected curve at 0.143; Nyquist where it never falls below.
        never_crossed: true where it never does.
    """

    fsc: np.ndarray
    corrected: np.ndarray
    angstrom: float
    never_crossed: bool


@dataclass(frozen=True, eq=False)
class HalfSetAgreement:
    """Agreement of two half sets.

    Attributes:
        volumes: mean FSC of the frames' volumes, by region.
        change: FSC of their change, by region.
        correlation: correlation of the changes, by region, from −1 to 1.
        states: by region, resolution of each of the S mean volumes along the path, Å ``(S,)``.
        n_frames: frames of each of these, ``(S,)``.
        frame_angstrom: by region, resolution of each of the n frames, Å ``(n,)``.
        masks: by region, ``(D, D, D)``.
        maps: mean volumes along the path of both half sets, ``(2, S, D, D, D)``.
    """

    volumes: Mapping[str, Curve]
    change: Mapping[str, Curve]
    correlation: Mapping[str, float]
    states: Mapping[str, np.ndarray]
    n_frames: np.ndarray
    frame_angstrom: Mapping[str, np.ndarray]
    masks: Mapping[str, Tensor]
    maps: Tensor


def compare_half_sets(
    first: Tensor, second: Tensor, position: np.ndarray, pixel_size_angstrom: float
) -> HalfSetAgreement:
    """Compare the volumes that two half sets have of the same n frames.

    Args:
        first, second: volumes of each half set, ``(n, D, D, D)``.
        position: place of each frame along the path, any monotone scale, ``(n,)``.
        pixel_size_angstrom: edge of a voxel, Å.
    """
    support = FourierSupport(first.shape[-1], 3)
    halves = torch.stack([first, second])
    means = halves.mean(1)
    changes = halves - means[:, None]
    if changes.abs().max() <= _ROUNDING * means.abs().max():
        changes = torch.zeros_like(changes)
    masks = _masks(means.mean(0), changes.mean(0))
    groups = path_groups(position)
    maps = torch.stack([torch.stack([half[group].mean(0) for group in groups]) for half in halves])
    volumes, change, correlation, states, frames = {}, {}, {}, {}, {}
    for region, mask in masks.items():
        curves = _curves(first, second, mask, support)
        frames[region] = resolution(curves, HALF_MAP_THRESHOLD, pixel_size_angstrom).angstrom
        volumes[region] = _corrected(_mean_fsc, maps, mask, support, pixel_size_angstrom)
        change[region] = _corrected(_joint_fsc, changes, mask, support, pixel_size_angstrom)
        a, b = (mask * half for half in changes)
        norm = float(a.double().norm() * b.double().norm())
        correlation[region] = float((a * b).double().sum()) / norm if norm > 0 else 0.0
        of_states = _curves(maps[0], maps[1], mask, support)
        states[region] = resolution(of_states, HALF_MAP_THRESHOLD, pixel_size_angstrom).angstrom
    return HalfSetAgreement(
        volumes=volumes,
        change=change,
        correlation=correlation,
        states=states,
        n_frames=np.array([len(group) for group in groups]),
        frame_angstrom=frames,
        masks=masks,
        maps=maps,
    )


def path_groups(position: np.ndarray) -> list[np.ndarray]:
    """Cut frames into up to ten groups of neighbours along a path, all of about one size."""
    order = np.argsort(position, kind="stable")
    return np.array_split(order, min(_STATES, len(order)))


def _masks(mean: Tensor, changes: Tensor) -> dict[str, Tensor]:
    """Masks of the molecule and of what moves, from both half sets together."""
    n, box = len(changes), len(mean)
    if not changes.any():
        return {"particle": solvent_mask(mean, torch.zeros_like(mean))}
    moving = moving_mask(changes, torch.eye(n) / n, box)
    return {"particle": solvent_mask(mean, moving), "moving": moving}


def _curves(first: Tensor, second: Tensor, mask: Tensor, support: FourierSupport) -> np.ndarray:
    """FSC of every pair of volumes within a mask: ``(n, n_shells)``."""
    pairs = zip(first, second, strict=True)
    found = [
        fourier_shell_correlation(support.fft(mask * a), support.fft(mask * b), support)
        for a, b in pairs
    ]
    return torch.stack(found).numpy()


def _mean_fsc(maps: Tensor, mask: Tensor, support: FourierSupport) -> np.ndarray:
    return np.asarray(_curves(maps[0], maps[1], mask, support).mean(0))


def _joint_fsc(changes: Tensor, mask: Tensor, support: FourierSupport) -> np.ndarray:
    """One FSC of many changes ``(2, n, D, D, D)``, whose powers are added up."""
    cross = power_a = power_b = torch.zeros(support.box // 2, dtype=torch.float64)
    for a, b in zip(*changes, strict=True):
        a, b = support.fft(mask * a), support.fft(mask * b)
        cross = cross + support.shell_sums((a.conj() * b).real.double())
        power_a = power_a + power_spectrum(a, support)
        power_b = power_b + power_spectrum(b, support)
    fsc = shell_correlation(cross, power_a, power_b)
    fsc[0] = 1.0
    return fsc.numpy()


def _corrected(
    measure: Callable[[Tensor, Tensor, FourierSupport], np.ndarray],
    maps: Tensor,
    mask: Tensor,
    support: FourierSupport,
    pixel_size_angstrom: float,
) -> Curve:
    """Measure an FSC in a mask and correct it by random phases (Chen and others 2013).

    Beyond the first shell below 0.8, all of the agreement of volumes with random phases comes from
    the mask: ``(F − F_random) / (1 − F_random)``.
    """
    fsc = measure(maps, mask, support)
    below = np.flatnonzero(measure(maps, torch.ones(()), support) < _RANDOM_BELOW)
    corrected = fsc.copy()
    if len(below):
        by_mask = measure(_randomised(maps, int(below[0]), support), mask, support)
        clear = int(below[0]) + _CLEAR_SHELLS
        random = by_mask[clear:].clip(0, _MOST_RANDOM)
        corrected[clear:] = (fsc[clear:] - random) / (1 - random)
    angstrom, never = resolution(corrected, HALF_MAP_THRESHOLD, pixel_size_angstrom)
    return Curve(fsc, corrected, float(angstrom), bool(never))


def _randomised(maps: Tensor, shell: int, support: FourierSupport) -> Tensor:
    """Give every volume ``(2, n, D, D, D)`` random phases from a shell on."""
    beyond = support.shells >= shell
    generator = torch.Generator().manual_seed(0)
    out = torch.empty_like(maps)
    for half, volumes in enumerate(maps):
        for index, volume in enumerate(volumes):
            coefficients = support.fft(volume)
            # White noise has random phases that make a real volume.
            noise = support.fft(torch.randn(volume.shape, generator=generator))
            scrambled = coefficients.abs() * noise / noise.abs().clamp(min=_FLAT)
            out[half, index] = support.ifft(torch.where(beyond, scrambled, coefficients))
    return out
