"""Conformation, pose, shift and CTF of every frame of a simulation, drawn at random."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.io import limits
from temporem.physics.ctf import CTFParameters
from temporem.physics.poses import Poses
from temporem.physics.rotations import random_rotations, rotation_of_vector
from temporem.simulation.config import CTFConfig, SimulationConfig
from temporem.simulation.nuisances import Nuisances
from temporem.simulation.schedules import PathSchedule
from temporem.structures.motions import MOTIONS

_STREAMS = (
    *("motion", "poses", "shifts", "ctf", "noise", "pose errors"),
    *("schedule", "lengths", "missing frames", "field"),
    *("background", "scale", "junk", "other molecule", "defocus errors"),
    *("thickness", "motion in a frame"),
)
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
    nuisances: Nuisances


def draw_frames(config: SimulationConfig) -> FrameTable:
    """Draw conformation, pose, shift and CTF of every frame.

    All is drawn for movies of the largest length. The frames that a movie lacks are left out last,
    so they change nothing in the others.
    """
    movies, length = config.movies, config.longest_movie
    n, seed = movies * length, config.seed
    parameters = _draw_parameters(config)
    states = MOTIONS[config.motion.kind].states(config.motion, parameters)
    shifts = torch.randn(n, 2, generator=random_stream(seed, "shifts"), dtype=torch.float64)
    poses = Poses(
        _draw_rotations(config, random_stream(seed, "poses")), shifts * config.shift_sd_angstrom
    )
    ctf = _draw_ctf(config.ctf, movies, length, random_stream(seed, "ctf"))
    kept = _draw_kept(config)
    movie, frame = kept.nonzero(as_tuple=True)
    rows = kept.flatten().nonzero()[:, 0]
    return FrameTable(
        particle_names=[f"movie_{m + 1:04d}" for m in movie.tolist()],
        frame_numbers=frame.numpy() + 1,
        times_seconds=frame.numpy() * config.frame_interval_seconds,
        states=states.flatten()[rows].numpy(),
        parameters=parameters.flatten(0, 1)[rows],
        poses=poses[rows],
        ctf=ctf[rows],
        nuisances=_draw_nuisances(config)[rows],
    )


def written_ctf(frames: FrameTable) -> CTFParameters:
    """CTF parameters that ``particles.star`` gets, with the errors of their defocus."""
    ctf, error = frames.ctf, frames.nuisances.defocus_error_angstrom
    low, high = limits.DEFOCUS_ANGSTROM.low, limits.DEFOCUS_ANGSTROM.high
    return replace(
        ctf,
        defocus_u_angstrom=(ctf.defocus_u_angstrom + error).clamp(low, high),
        defocus_v_angstrom=(ctf.defocus_v_angstrom + error).clamp(low, high),
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


def _draw_nuisances(config: SimulationConfig) -> Nuisances:
    """Defects of the frames of movies of the largest length, movie after movie."""
    defects, movies, seed = config.defects, config.movies, config.seed
    n = movies * config.longest_movie

    def normal(stream: str, *size: int) -> Tensor:
        generator = random_stream(seed, stream)
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    level, rises = normal("background", n, 3).split((1, 2), dim=1)
    draws = torch.rand(n, generator=random_stream(seed, "junk"), dtype=torch.float64)
    defocus = defects.defocus_error_angstrom * normal("defocus errors", movies)
    low, high = defects.thickness_nm
    uniform = torch.rand(movies, generator=random_stream(seed, "thickness"), dtype=torch.float64)
    beyond_mean = (uniform - 0.5) * (high - low) / defects.mean_free_path_nm
    turn, move = normal("motion in a frame", n, 5).split((3, 2), dim=1)
    frame = torch.arange(config.longest_movie, dtype=torch.float64)
    return Nuisances(
        background=defects.background_sd * level[:, 0],
        gradient=defects.gradient_sd * rises,
        scale=(defects.scale_sd * normal("scale", n)).exp(),
        junk=draws < defects.junk_fraction,
        defocus_error_angstrom=defocus.repeat_interleave(config.longest_movie),
        transmission=(-beyond_mean).exp().repeat_interleave(config.longest_movie),
        b_factor_angstrom2=(defects.damage_angstrom2_per_frame * frame).repeat(movies),
        turn_degrees=defects.turn_in_frame_degrees / 3**0.5 * turn,
        move_angstrom=defects.move_in_frame_angstrom * move,
    )


def _draw_parameters(config: SimulationConfig) -> Tensor:
    """Parameters of the motion, ``(movies, frames, n_parameters)``."""
    kind, movies, length = MOTIONS[config.motion.kind], config.movies, config.longest_movie
    if kind.along is None or not isinstance(config.schedule, PathSchedule):
        return kind.draw(config.motion, movies, length, random_stream(config.seed, "motion"))
    stream = random_stream(config.seed, "schedule")
    progress = config.schedule.progress(movies, length, config.frame_interval_seconds, stream)
    return kind.along(config.motion, length, progress)


def _draw_kept(config: SimulationConfig) -> Tensor:
    """Frames that a movie has, bool ``(movies, frames)``.

    A movie ends after its number of frames. Of these, some are lost at random, but never the two
    with the largest random numbers.
    """
    movies, length = config.movies, config.longest_movie
    generator = random_stream(config.seed, "lengths")
    lengths = torch.randint(config.shortest_movie, length + 1, (movies, 1), generator=generator)
    inside = torch.arange(length) < lengths
    if not config.missing_fraction:
        return inside
    generator = random_stream(config.seed, "missing frames")
    draws = torch.rand(movies, length, generator=generator, dtype=torch.float64)
    draws = draws.where(inside, -1.0)
    safe = torch.zeros_like(inside).scatter(1, draws.topk(min(2, length), dim=1).indices, True)
    return inside & (safe | (draws >= config.missing_fraction))


def _draw_rotations(config: SimulationConfig, generator: torch.Generator) -> Tensor:
    """Orientations ``(movies · frames, 3, 3)``, movie after movie."""
    movies, length = config.movies, config.longest_movie
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
