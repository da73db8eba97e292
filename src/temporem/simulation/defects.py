"""Defects of simulated images: junk, intensity, coloured noise and background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from temporem.simulation.config import DefectsConfig, SimulationConfig
from temporem.simulation.drawing import FrameTable, random_stream
from temporem.simulation.images import project
from temporem.simulation.nuisances import Nuisances
from temporem.structures.molecule import Molecule


def spoil_signal(
    images: np.ndarray, config: SimulationConfig, molecule: Molecule, frames: FrameTable
) -> None:
    """Replace junk among clean images ``(N, D, D)``, and scale all of them, in place."""
    junk = frames.nuisances.junk
    if junk.any():
        images[junk.numpy()] = 0.0
        if config.defects.junk == "other":
            stranger = other_molecule(molecule, random_stream(config.seed, "other molecule"))
            atoms = stranger.positions_angstrom
            poses, ctf = frames.poses[junk], frames.ctf[junk]
            images[junk.numpy()] = project(config, stranger, lambda rows: atoms, poses, ctf)
    images *= frames.nuisances.scale.float().numpy()[:, None, None]


def other_molecule(molecule: Molecule, generator: torch.Generator) -> Molecule:
    """Put the atoms along a random walk, as wide as the molecule, that stays near the middle.

    Atoms keep their order along the walk, so it is chains of neighbours as the molecule is.
    """
    n = len(molecule)
    steps = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    pull = 8 / n  # the walk crosses the molecule some times
    walk = torch.empty_like(steps)
    place = torch.zeros(3, dtype=torch.float64)
    for i, step in enumerate(steps):
        place = (1 - pull) * place + step
        walk[i] = place
    walk = walk - walk.mean(0)
    own = molecule.positions_angstrom - molecule.positions_angstrom.mean(0)
    walk = walk * (own.square().sum(1).mean() / walk.square().sum(1).mean()).sqrt()
    # An atom that strays is pulled in to where the molecule ends.
    radii = walk.norm(dim=1, keepdim=True)
    walk = walk * (own.norm(dim=1).max() / radii.clamp(min=1e-9)).clamp(max=1)
    return replace(molecule, positions_angstrom=walk)


def noise_amplitude(box: int, defects: DefectsConfig) -> Tensor:
    """Amplitude of the noise at frequencies of :func:`torch.fft.rfft2`, mean power 1.

    The power is ``1 + (k0/k)^p`` with k in cycles per pixel; at k = 0 it is that of 1/D.
    """
    y, x = torch.fft.fftfreq(box), torch.fft.fftfreq(box)
    k = (y[:, None].square() + x.square()).sqrt().clamp(min=1 / box)
    power = 1 + (defects.noise_knee_cycles_per_pixel / k) ** defects.noise_exponent
    return (power / power.mean()).sqrt()[:, : box // 2 + 1]


def add_coloured_noise(
    images: np.ndarray, variance: float, defects: DefectsConfig, generator: torch.Generator
) -> None:
    """Add Gaussian noise with a power law to images ``(N, D, D)`` in place."""
    box = images.shape[-1]
    amplitude = variance**0.5 * noise_amplitude(box, defects)
    for image in images:
        white = torch.fft.rfft2(torch.randn(image.shape, generator=generator))
        image += torch.fft.irfft2(amplitude * white, s=image.shape).numpy()


def add_background(images: np.ndarray, nuisances: Nuisances, noise_sd: float) -> None:
    """Add the plane of every frame to images ``(N, D, D)`` in place."""
    box = images.shape[-1]
    x = (torch.arange(box) - (box - 1) / 2) / box
    for image, level, (along_x, along_y) in zip(
        images, nuisances.background, nuisances.gradient, strict=True
    ):
        image += noise_sd * (level + along_x * x + along_y * x[:, None]).float().numpy()
