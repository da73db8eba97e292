"""Conformation, pose, shift and CTF of every frame of a simulation, drawn at random."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.physics.ctf import CTFParameters
from temporem.physics.poses import Poses
from temporem.physics.rotations import random_rotations, rotation_of_vector
from temporem.simulation.config import CTFConfig, SimulationConfig
from temporem.structures.motions import MOTIONS

_STREAMS = ("motion", "poses", "shifts", "ctf", "noise", "pose errors")
"""Purposes of random numbers, each with a stream of its own. A new one goes to the end."""


@dataclass(frozen=True)
class FrameTable:
    """Random draws of the N frames of a simulation, movie after movie.

    Attributes are those of :class:`temporem.simulation.truth.Truth`.
    """

    particle_names: list[str]
    frame_numbers: np.ndarray
    times_seconds: np.ndarray
    states: np.ndarray
    parameters: Tensor
    poses: Poses
    ctf: CTFParameters


def draw_frames(config: SimulationConfig) -> FrameTable:
    """Draw conformation, pose, shift and CTF of every frame."""
    movies, length = config.movies, config.frames_per_movie
    n, seed = movies * length, config.seed
    kind = MOTIONS[config.motion.kind]
    parameters = kind.draw(config.motion, movies, length, random_stream(seed, "motion"))
    states = kind.states(config.motion, parameters)
    shifts = torch.randn(n, 2, generator=random_stream(seed, "shifts"), dtype=torch.float64)
    return FrameTable(
        particle_names=[f"movie_{m + 1:04d}" for m in range(movies) for _ in range(length)],
        frame_numbers=np.tile(np.arange(1, length + 1), movies),
        times_seconds=np.tile(np.arange(length) * config.frame_interval_seconds, movies),
        states=states.flatten().numpy(),
        parameters=parameters.flatten(0, 1),
        poses=Poses(
            _draw_rotations(config, random_stream(seed, "poses")),
            shifts * config.shift_sd_angstrom,
        ),
        ctf=_draw_ctf(config.ctf, movies, length, random_stream(seed, "ctf")),
    )


def written_poses(config: SimulationConfig, frames: FrameTable) -> Poses | None:
    """Poses that ``particles.star`` gets, with their errors; None for no poses.

    Errors are Gaussian: three components of a rotation vector, two of a shift.
    """
    if not config.poses.written:
        return None
    n, generator = len(frames.poses), random_stream(config.seed, "pose errors")
    turns, moves = torch.randn(n, 5, generator=generator, dtype=torch.float64).split((3, 2), dim=1)
    rotations, shifts = frames.poses.rotations, frames.poses.shifts_angstrom
    if config.poses.error_degrees:
        per_axis = math.radians(config.poses.error_degrees) / 3**0.5
        rotations = rotation_of_vector(per_axis * turns) @ rotations
    return Poses(rotations, shifts + config.poses.shift_error_angstrom * moves)


def random_stream(seed: int, stream: str) -> torch.Generator:
    """Make a source of random numbers for one purpose.

    A setting that changes how many numbers are drawn for one purpose leaves the others alone.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(_STREAMS.index(stream),))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


def _draw_rotations(config: SimulationConfig, generator: torch.Generator) -> Tensor:
    """Orientations ``(N, 3, 3)``, movie after movie."""
    movies, length = config.movies, config.frames_per_movie
    rotations = random_rotations(movies * length, generator)
    coefficient = config.poses.diffusion_degrees2_per_second
    if coefficient is None:
        return rotations
    deviation = (2 * coefficient * config.frame_interval_seconds) ** 0.5
    steps = rotation_of_vector(
        math.radians(deviation)
        * torch.randn(movies, length, 3, generator=generator, dtype=torch.float64)
    )
    path = [rotations.view(movies, length, 3, 3)[:, 0]]
    for t in range(1, length):
        path.append(steps[:, t] @ path[-1])
    return torch.stack(path, dim=1).flatten(0, 1)


def _draw_ctf(
    config: CTFConfig, movies: int, length: int, generator: torch.Generator
) -> CTFParameters:
    """One CTF for each movie, repeated for its frames: fields ``(N,)``."""
    uniform = torch.rand(2, movies, generator=generator, dtype=torch.float64)
    low, high = config.defocus_angstrom
    defocus = low + (high - low) * uniform[0]

    def same(value: float) -> Tensor:
        return torch.full((movies,), value, dtype=torch.float64)

    per_movie = CTFParameters(
        defocus_u_angstrom=defocus + config.astigmatism_angstrom / 2,
        defocus_v_angstrom=defocus - config.astigmatism_angstrom / 2,
        astigmatism_radians=torch.pi * uniform[1] * bool(config.astigmatism_angstrom),
        voltage_kv=same(config.voltage_kv),
        cs_mm=same(config.cs_mm),
        amplitude_contrast=same(config.amplitude_contrast),
        phase_shift_radians=same(0.0),
    )
    return per_movie[torch.arange(movies).repeat_interleave(length)]
