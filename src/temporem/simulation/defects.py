"""Defects of simulated images: junk, intensity, coloured noise and background.

:mod:`temporem.simulation.exposure` has those of the exposure and the detector.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from temporem.simulation.config import SimulationConfig
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
    nuisances = frames.nuisances
    images *= (nuisances.scale * nuisances.transmission).float().numpy()[:, None, None]


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


def add_background(images: np.ndarray, nuisances: Nuisances, noise_sd: float) -> None:
    """Add the plane of every frame to images ``(N, D, D)`` in place."""
    box = images.shape[-1]
    x = (torch.arange(box) - (box - 1) / 2) / box
    for image, level, (along_x, along_y) in zip(
        images, nuisances.background, nuisances.gradient, strict=True
    ):
        image += noise_sd * (level + along_x * x + along_y * x[:, None]).float().numpy()
