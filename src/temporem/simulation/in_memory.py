"""Movies with known truth, simulated in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temporem.frames.dataset import Dataset, group_movies
from temporem.physics.poses import Poses
from temporem.simulation.config import SimulationConfig
from temporem.simulation.defects import add_background, spoil_signal
from temporem.simulation.drawing import draw_frames, random_stream, written_ctf, written_poses
from temporem.simulation.exposure import add_noise, blur_by_motion, detect
from temporem.simulation.images import (
    add_white_noise,
    clean_images,
    extent_of,
    require_fit,
    require_shifts_inside,
)
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.truth import Truth
from temporem.structures.molecule_source import MoleculeSource
from temporem.structures.motions import MOTIONS
from temporem.structures.motions.base import Motion

Count = Callable[[int, int], None]
"""Called with the number of frames, or of conformations, done and of all."""


@dataclass(frozen=True, eq=False)
class SimulatedMovies:
    """Movies, their truth, and a summary of plain numbers."""

    dataset: Dataset
    truth: Truth
    summary: dict[str, Any]


def simulate_movies(
    name: str | Path = "toy-free", *, structures: str | Path | None = None, **settings: Any
) -> tuple[Dataset, Truth]:
    """Simulate movies of a molecule that moves, in memory.

    Args:
        name: preset (``toy-free``, ``7bcq-free``, ``7bcq``, …) or a YAML file.
        structures: folder that is searched first for structure files.
        **settings: changes to the preset, such as ``movies=20, snr=0.3, schedule="diffusion"``.

    Returns:
        The movies and their truth.

    Raises:
        TemporemError: no such preset, a bad value, or a structure that cannot be found.

    Example:
        >>> data, truth = tm.simulate_movies("toy-free", movies=20, snr=0.3)
        >>> truth.parameters.shape == (data.n_frames, 1)
        True
    """
    config = load_simulation_config(name, changes=settings)
    made = make_movies(config, structures_dir=structures)
    return made.dataset, made.truth


def make_movies(
    config: SimulationConfig,
    *,
    structures_dir: str | Path | None = None,
    motion: Motion | None = None,
    progress: Count | None = None,
) -> SimulatedMovies:
    """Simulate the movies of a configuration.

    Frames are ``X = CTF · S · slice + noise`` of exact projections of all atoms, unless the
    configuration has defects. The noise is white over all pixels. Its variance is the variance of
    the clean images (CTF and shift included) divided by the signal-to-noise ratio. The same
    configuration gives the same images. A change of one setting leaves unchanged what is drawn for
    the others.

    Args:
        config: what to simulate.
        structures_dir: searched first for structures.
        motion: the motion, if :func:`load_motion` has already made it for this configuration or for
            one that :func:`moves_alike`; a path between structures takes minutes.
        progress: called with the number of frames done and of all frames; while a path between
            structures is made, with the number of its conformations.

    Raises:
        TemporemError: the structure or trajectory cannot be found or read, a selection names no
            atom, the molecule does not fit the box, or a particle is drawn outside its image.
    """
    frames = draw_frames(config)
    poses = written_poses(config, frames)
    require_shifts_inside(config, "shift_sd_angstrom", frames.poses.shifts_angstrom)
    if poses is not None:
        require_shifts_inside(config, "poses.shift_error_angstrom", poses.shifts_angstrom)
    if motion is None:
        motion = load_motion(config, structures_dir, progress=progress)
    extent = extent_of(motion, frames.parameters)
    require_fit(config, extent)
    images = clean_images(config, motion, frames, progress)
    signal_variance = float(images.var(dtype=np.float64))
    noise_variance = signal_variance / config.snr
    blur_by_motion(images, config, motion, frames, progress)
    spoil_signal(images, config, motion.molecule, frames)
    detect(images, config, frames.nuisances)
    noise, defects = random_stream(config.seed, "noise"), config.defects
    passed = frames.nuisances.transmission
    if defects.noise_knee_cycles_per_pixel or defects.electrons_per_pixel or (passed != 1).any():
        add_noise(images, noise_variance, defects, passed, noise)
    else:
        add_white_noise(images, noise_variance, noise)
    add_background(images, frames.nuisances, noise_variance**0.5)
    n = len(images)
    dataset = Dataset(
        path=Path(f"{config.structure} in memory"),
        images=images,
        pixel_size_angstrom=config.pixel_size_angstrom,
        poses=poses or Poses.identity(n),
        ctf=written_ctf(frames),
        particle_names=frames.particle_names,
        frame_numbers=frames.frame_numbers,
        times_seconds=frames.times_seconds,
        movies=group_movies(frames.particle_names, frames.frame_numbers),
        has_poses=poses is not None,
    )
    truth = Truth.of_frames(config, motion, frames, noise_variance)
    summary = {
        "movies": config.movies,
        "frames": n,
        "box": config.box,
        "pixel_size_angstrom": config.pixel_size_angstrom,
        "atoms": len(motion.molecule),
        "moving_atoms": int(motion.moving.sum()),
        "residues_missing": sum(last - first + 1 for _, first, last in motion.molecule.gaps()),
        "largest_displacement_angstrom": extent.largest_displacement_angstrom,
        "rms_displacement_angstrom": extent.rms_displacement_angstrom,
        **MOTIONS[config.motion.kind].summarise(motion),
        "snr": config.snr,
        "signal_variance": signal_variance,
        "noise_variance": noise_variance,
    }
    return SimulatedMovies(dataset, truth, summary)


def load_motion(
    config: SimulationConfig,
    structures_dir: str | Path | None,
    *,
    progress: Count | None = None,
) -> Motion:
    """Make the motion that a configuration describes, from the files that it names.

    The mean of the atoms, where the motion starts, is at the origin.

    Args:
        config: what to simulate.
        structures_dir: searched first for structures.
        progress: called with the number of conformations done and of all, for a path between
            structures.
    """
    source = MoleculeSource(config.structure, config.chains, config.hydrogens, structures_dir)
    kind = MOTIONS[config.motion.kind]
    return kind.load(config.motion, source, config.longest_movie, progress)


def moves_alike(one: SimulationConfig, other: SimulationConfig) -> bool:
    """True if :func:`load_motion` gives the same for both configurations."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("structure", "chains", "hydrogens", "motion", "longest_movie")
    )
