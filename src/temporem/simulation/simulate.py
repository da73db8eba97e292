"""Movies of a molecule that moves, with known truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.dataset import write_dataset
from temporem.io.files import fresh_directory
from temporem.physics.ctf import CTFParameters
from temporem.physics.forward import ForwardModel
from temporem.physics.rotations import random_rotations, rotation_of_vector
from temporem.physics.structure_factors import structure_factors
from temporem.simulation.config import (
    CTFConfig,
    HingeConfig,
    MorphConfig,
    PathConfig,
    PulledConfig,
    SimulationConfig,
)
from temporem.simulation.truth import Truth, require_simulated, write_truth
from temporem.structures.matching import match
from temporem.structures.molecule import Molecule
from temporem.structures.morph import morph
from temporem.structures.motions import (
    Motion,
    Trajectory,
    conformations,
    hinge_about_atoms,
    trajectory_through,
)
from temporem.structures.pulled import pulled_snapshots
from temporem.structures.reading import read_molecule
from temporem.structures.scattering import element_index, form_factors
from temporem.structures.sources import find_structure
from temporem.structures.toy import toy_molecule
from temporem.structures.trajectory import read_trajectory
from temporem.structures.wholeness import wholeness

_ATOMS_PER_CHUNK = 2**17  # a few frames of a large molecule; bounds memory

_SNAPSHOTS_JUDGED = 200  # at most

_STREAMS = ("motion", "poses", "shifts", "ctf", "noise", "pose errors")
"""What is drawn at random, each from its own stream; a new one goes to the end."""


def simulate(
    config: SimulationConfig,
    output: str | Path,
    *,
    structures_dir: str | Path | None = None,
    motion: Motion | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Simulate a dataset and write it, with its truth, to a new folder.

    Frames are ``X = CTF · S · slice + noise`` of exact projections of all atoms. The noise is white
    over all pixels and its variance is that of the clean images, CTF and shift included, over the
    signal-to-noise ratio. The same configuration gives the same files; a change of one setting
    leaves alone what is drawn for the others.

    Args:
        config: what to simulate.
        output: folder to write.
        structures_dir: where to look for the structure first.
        motion: of the molecule, where :func:`load_motion` has made it for this configuration or one
            that :func:`moves_alike`; a path between structures takes minutes.
        overwrite: replace the folder if it exists. Nothing but a simulation is ever replaced.
        progress: called with the number of frames done and of all frames; while a path between
            structures is made, with those of its conformations.

    Returns:
        A summary of what was simulated, of plain numbers.

    Raises:
        TemporemError: the structure or trajectory cannot be found or read, a selection names no
            atom, the molecule does not fit the box, a particle is drawn outside its image, or the
            output exists or cannot be written.
    """
    if overwrite:
        # A PDB code is no file, and an output may well be named after it.
        inputs = [file for file in map(Path, config.files) if file.is_file()]
        require_simulated(output, inputs if structures_dir is None else [structures_dir, *inputs])
    with fresh_directory(output, overwrite=overwrite) as directory:
        frames = draw_frames(config)
        rotations, shifts = written_poses(config, frames)
        _check_shifts(config, "shift_sd_angstrom", frames.shifts_angstrom)
        if shifts is not None:
            _check_shifts(config, "poses.shift_error_angstrom", shifts)
        if motion is None:
            motion = load_motion(config, structures_dir, progress=progress)
        extent = _extent(motion, frames.parameters)
        _check_fits(config, extent)
        images = _clean_images(config, motion, frames, progress)
        signal_variance = float(images.var(dtype=np.float64))
        noise_variance = signal_variance / config.snr
        _add_white_noise(images, noise_variance, _generator(config.seed, "noise"))

        write_dataset(
            directory,
            images=images,
            pixel_size_angstrom=config.pixel_size_angstrom,
            rotations=rotations,
            shifts_angstrom=shifts,
            ctf=frames.ctf,
            particle_names=frames.particle_names,
            frame_numbers=frames.frame_numbers,
            times_seconds=frames.times_seconds,
        )
        truth = Truth(
            config=config,
            motion=motion,
            noise_variance=noise_variance,
            states=frames.states,
            parameters=frames.parameters,
            rotations=frames.rotations,
            shifts_angstrom=frames.shifts_angstrom,
            times_seconds=frames.times_seconds,
            particle_names=frames.particle_names,
            frame_numbers=frames.frame_numbers,
        )
        write_truth(directory, truth)
    return {
        "movies": config.movies,
        "frames": len(images),
        "box": config.box,
        "pixel_size_angstrom": config.pixel_size_angstrom,
        "atoms": len(motion.molecule),
        "moving_atoms": int(motion.moving.sum()),
        "residues_missing": sum(last - first + 1 for _, first, last in motion.molecule.gaps()),
        "largest_displacement_angstrom": extent.largest_displacement_angstrom,
        "rms_displacement_angstrom": extent.rms_displacement_angstrom,
        **_whole(motion),
        "snr": config.snr,
        "signal_variance": signal_variance,
        "noise_variance": noise_variance,
    }


def load_motion(
    config: SimulationConfig,
    structures_dir: str | Path | None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Motion:
    """The molecule to simulate and how it moves, from the files that a configuration names.

    The mean of the atoms, where the motion starts, is at the origin.
    """
    if isinstance(config.motion, HingeConfig):
        return build_motion(config.motion, load_molecule(config, structures_dir))
    if isinstance(config.motion, MorphConfig | PulledConfig):
        molecule, end = match(
            load_molecule(config, structures_dir),
            read_molecule(
                find_structure(config.motion.end, structures_dir),
                chains=config.motion.end_chains,
                hydrogens=config.hydrogens,
            ),
        )
        if isinstance(config.motion, PulledConfig):
            n_states = config.motion.states or config.frames_per_movie
            snapshots = pulled_snapshots(
                config.motion, n_states, molecule, end, progress=progress
            ).double()
        else:
            n_states = max(2, config.motion.states or config.frames_per_movie)
            snapshots = morph(molecule, end, n_states, progress=progress)
        return trajectory_through(molecule, snapshots - snapshots[0].mean(0), evenly=True)
    molecule, snapshots = read_trajectory(
        find_structure(config.structure, structures_dir),
        find_structure(config.motion.coordinates, structures_dir),
        chains=config.chains,
        hydrogens=config.hydrogens,
    )
    return trajectory_through(molecule, snapshots - snapshots[0].mean(0))


def moves_alike(one: SimulationConfig, other: SimulationConfig) -> bool:
    """Whether :func:`load_motion` gives the same for both: same molecule, motion, and states."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("structure", "chains", "hydrogens", "motion", "frames_per_movie")
    )


def load_molecule(config: SimulationConfig, structures_dir: str | Path | None) -> Molecule:
    """The molecule to simulate, as deposited, with the mean of its atoms at the origin."""
    if config.structure == "toy":
        molecule = toy_molecule()
    else:
        path = find_structure(config.structure, structures_dir)
        molecule = read_molecule(path, chains=config.chains, hydrogens=config.hydrogens)
    return molecule.centred()


def build_motion(config: HingeConfig, molecule: Molecule) -> Motion:
    """The hinge that a configuration describes."""
    return hinge_about_atoms(molecule, config.moving, config.axis)


@dataclass(frozen=True)
class FrameTable:
    """What differs between the N frames of a simulation, movie after movie; see :class:`Truth`."""

    particle_names: list[str]
    frame_numbers: np.ndarray
    times_seconds: np.ndarray
    states: np.ndarray
    parameters: Tensor
    rotations: Tensor
    shifts_angstrom: Tensor
    ctf: CTFParameters


def draw_frames(config: SimulationConfig) -> FrameTable:
    """Conformation, pose, shift and CTF of every frame."""
    movies, length = config.movies, config.frames_per_movie
    n = movies * length
    seed = config.seed
    parameters, states = _schedule(config, _generator(seed, "motion"))
    shifts = torch.randn(n, 2, generator=_generator(seed, "shifts"), dtype=torch.float64)
    return FrameTable(
        particle_names=[f"movie_{m + 1:04d}" for m in range(movies) for _ in range(length)],
        frame_numbers=np.tile(np.arange(1, length + 1), movies),
        times_seconds=np.tile(np.arange(length) * config.frame_interval_seconds, movies),
        states=states.numpy(),
        parameters=parameters,
        rotations=_draw_rotations(config, _generator(seed, "poses")),
        shifts_angstrom=shifts * config.shift_sd_angstrom,
        ctf=_draw_ctf(config.ctf, movies, length, _generator(seed, "ctf")),
    )


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


def written_poses(
    config: SimulationConfig, frames: FrameTable
) -> tuple[Tensor | None, Tensor | None]:
    """Rotations and displacements as ``particles.star`` shall have them; None for no poses.

    Errors are Gaussian: three components of a rotation vector, two of a displacement.
    """
    if not config.poses.written:
        return None, None
    n, generator = len(frames.rotations), _generator(config.seed, "pose errors")
    turns, moves = torch.randn(n, 5, generator=generator, dtype=torch.float64).split((3, 2), dim=1)
    rotations, shifts = frames.rotations, frames.shifts_angstrom
    if config.poses.error_degrees:
        per_axis = math.radians(config.poses.error_degrees) / 3**0.5
        rotations = rotation_of_vector(per_axis * turns) @ rotations
    return rotations, shifts + config.poses.shift_error_angstrom * moves


def _generator(seed: int, stream: str) -> torch.Generator:
    """A random stream of its own for each purpose, so that one does not shift another."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_STREAMS.index(stream),))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


def _schedule(config: SimulationConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Parameters ``(N, 1)`` and states ``(N,)`` of a motion at constant speed."""
    motion, movies, length = config.motion, config.movies, config.frames_per_movie
    if isinstance(motion, PathConfig):
        step = config.progress_step
        progress = _constant_speed(motion.start, step, movies, length, generator)
        bins = motion.states or length
        states = _state_of(progress * bins).clamp(max=bins - 1)
        return progress.reshape(-1, 1), states.flatten()
    if isinstance(motion, PulledConfig):
        n_states, n = motion.states or length, motion.snapshots
        states = (torch.arange(length) * n_states // length).expand(movies, length)
        drawn = torch.randint(n, (movies, length), generator=generator)
        progress = (states * n + drawn).double() / (n_states * n - 1)
        return progress.reshape(-1, 1), states.flatten()
    angles = _constant_speed(motion.start_degrees, motion.step_degrees, movies, length, generator)
    steps = (angles - motion.start_degrees[0]) / (motion.step_degrees or 1.0)
    return angles.reshape(-1, 1), _state_of(steps).flatten()


def _state_of(steps: Tensor) -> Tensor:
    """Whole steps done; a frame at the border of two states, but for rounding, is in the second."""
    return (steps + 1e-9).floor().long()


def _constant_speed(
    start: tuple[float, float], step: float, movies: int, length: int, generator: torch.Generator
) -> Tensor:
    """Values ``(movies, length)`` in equal steps, from a start that is uniform in its range."""
    low, high = start
    first = low + (high - low) * torch.rand(movies, 1, generator=generator, dtype=torch.float64)
    return first + step * torch.arange(length, dtype=torch.float64)


def _draw_ctf(
    config: CTFConfig, movies: int, length: int, generator: torch.Generator
) -> CTFParameters:
    """One CTF a movie, repeated for its frames: fields ``(N,)``."""
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


class _Extent(NamedTuple):
    """How far atoms are from the centre, and from where they are in the first state."""

    radius_angstrom: float
    largest_displacement_angstrom: float
    rms_displacement_angstrom: float


def _extent(motion: Motion, parameters: Tensor) -> _Extent:
    still = motion.molecule.positions_angstrom[~motion.moving]
    ordered = parameters[parameters[:, 0].argsort()]
    path = motion.positions(ordered[:: max(1, len(ordered) // 50)])
    end_to_end = (motion.positions(ordered[-1]) - path[0]).norm(dim=-1)
    radii = torch.cat([still, path.flatten(0, 1)]).norm(dim=-1)
    return _Extent(
        float(radii.max()), float(end_to_end.max()), float(end_to_end.square().mean().sqrt())
    )


def _whole(motion: Motion) -> dict[str, Any]:
    """How well bonds are kept along a path."""
    if not isinstance(motion, Trajectory):
        return {}
    few = motion.snapshots_angstrom[:: -(-len(motion.snapshots_angstrom) // _SNAPSHOTS_JUDGED)]
    return wholeness(motion.molecule.select(motion.moving), few.double())._asdict()


def _check_fits(config: SimulationConfig, extent: _Extent) -> None:
    half_box = config.box * config.pixel_size_angstrom / 2
    if extent.radius_angstrom > half_box:
        box = 2 * int(extent.radius_angstrom / config.pixel_size_angstrom + 1)
        raise TemporemError(
            f"the molecule reaches {extent.radius_angstrom:.0f} Å from the centre, and the edge of "
            f"the box is at {half_box:.0f} Å",
            hint=f"set box to {box} or more, or a larger pixel_size_angstrom",
        )


def _check_shifts(config: SimulationConfig, setting: str, shifts: Tensor) -> None:
    """A dataset has every particle inside its image, as drawn and as written."""
    half_box = config.box * config.pixel_size_angstrom / 2
    farthest = float(shifts.abs().max())
    if farthest > half_box:
        raise TemporemError(
            f"{setting}: a particle would be {farthest:.4g} Å from the centre of its image, in x "
            f"or y, and the edge is at {half_box:.4g} Å",
            expected="particles inside their images",
            hint=f"lower {setting}, or set a larger box",
        )


def _clean_images(
    config: SimulationConfig,
    motion: Motion,
    frames: FrameTable,
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    """Images without noise, ``(N, D, D)`` float32."""
    model = ForwardModel(config.box, config.pixel_size_angstrom)
    index, numbers = element_index(motion.molecule)
    factors = form_factors(numbers, config.b_factor_angstrom2)
    n, chunk = len(frames.rotations), max(1, _ATOMS_PER_CHUNK // len(motion.molecule))
    images = np.empty((n, config.box, config.box), dtype=np.float32)
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        atoms = conformations(motion, frames.parameters[rows]) @ frames.rotations[rows].mT
        slices = structure_factors(atoms, index, factors, model.support, config.pixel_size_angstrom)
        observed = model.observe(
            slices,
            model.ctf(frames.ctf[rows]),
            model.shift_phase(frames.shifts_angstrom[rows]),
        )
        images[rows] = model.support.ifft(observed).numpy()
        if progress is not None:
            progress(min(start + chunk, n), n)
    return images


def _add_white_noise(images: np.ndarray, variance: float, generator: torch.Generator) -> None:
    """Add noise in place, image by image.

    In real space, where white noise also fills the corners beyond Nyquist that the half disc of
    :meth:`ForwardModel.add_noise` leaves out; on that disc it has the same distribution.
    """
    for image in images:
        image += variance**0.5 * torch.randn(image.shape, generator=generator).numpy()
