"""Movies in which nothing moves, but a part comes and goes or melts.

The toy molecule stands still, and its arm binds or melts. It wanders between both ends as the angle
does in ``toy-free``. Models that change density suit such data better than a cloud that moves.

    python -m benchmarks.binding bind -o bind-movies
    python -m benchmarks.binding melt -o melt-movies
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.frames.dataset import write_dataset
from temporem.io.files import fresh_directory
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.structure_factors import structure_factors
from temporem.simulation.drawing import draw_frames, random_stream
from temporem.simulation.images import add_white_noise
from temporem.simulation.in_memory import load_motion
from temporem.simulation.presets import load_simulation_config
from temporem.structures.scattering import element_index, form_factors

_MELTED = 10.0  # Å, rms displacement by axis of a melted arm
_ANGLE = 45.0


class Parts:
    """The still body and the arm of the toy, with what each frame shows of the arm."""

    def __init__(self, kind: str, snr: float, seed: int) -> None:
        changes = {"snr": snr, "seed": seed}
        self.config = load_simulation_config("toy-free", changes=changes)
        self.frames = draw_frames(self.config)
        self.motion = load_motion(self.config, None)
        self.melts = kind == "melt"
        self.bound = (self.frames.parameters[:, 0] / 90).clamp(0, 1)
        """Share of the arm that is there, or that has not melted, ``(N,)``."""

    def coefficients(
        self, rows: Tensor, support: FourierSupport, rotations: Tensor | None = None
    ) -> Tensor:
        """Slices of frames in their orientations, or without any, volumes: ``(n, P)``."""
        molecule, pixel = self.motion.molecule, self.config.pixel_size_angstrom
        index, numbers = element_index(molecule)
        factors = form_factors(numbers, self.config.b_factor_angstrom2)
        atoms = self.motion.positions(torch.tensor([_ANGLE], dtype=torch.float64))
        everything = molecule.positions_angstrom.clone()
        everything[self.motion.moving] = atoms.reshape(-1, 3)
        parts = []
        for part in (~self.motion.moving, self.motion.moving):
            places = everything[part]
            turned = places[None] if rotations is None else places @ rotations.mT
            parts.append(structure_factors(turned, index[part], factors, support, pixel))
        share = self.bound[rows, None]
        if not self.melts:
            return parts[0] + share * parts[1]
        radii = support.radii.double() / (support.box * pixel)
        blur = (-0.5 * (2 * math.pi * _MELTED * (1 - share) * radii).square()).exp()
        return parts[0] + blur * parts[1]


def make(kind: str, out: Path, *, snr: float = 0.1, seed: int = 100) -> None:
    """Simulate the movies and write them to a new folder, without a truth."""
    parts = Parts(kind, snr, seed)
    config, frames = parts.config, parts.frames
    model = ForwardModel(config.box, config.pixel_size_angstrom)
    rows = torch.arange(len(frames.poses))
    slices = parts.coefficients(rows, model.support, frames.poses.rotations)
    phase = model.shift_phase(frames.poses.shifts_angstrom)
    observed = model.observe(slices.to(torch.complex64), model.ctf(frames.ctf), phase)
    images = model.support.ifft(observed).numpy().astype(np.float32)
    variance = float(images.var(dtype=np.float64)) / snr
    add_white_noise(images, variance, random_stream(seed, "noise"))
    with fresh_directory(out) as folder:
        write_dataset(
            folder,
            images=images,
            pixel_size_angstrom=config.pixel_size_angstrom,
            poses=frames.poses,
            ctf=frames.ctf,
            particle_names=frames.particle_names,
            frame_numbers=frames.frame_numbers,
            times_seconds=frames.times_seconds,
        )


def main() -> None:
    """Simulate from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["bind", "melt"])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=100)
    given = parser.parse_args()
    make(given.kind, given.output, snr=given.snr, seed=given.seed)


if __name__ == "__main__":
    main()
