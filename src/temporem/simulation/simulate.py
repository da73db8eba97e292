"""Simulated movies of a molecule that moves, written with their truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from temporem.frames.dataset import write_dataset
from temporem.io.files import fresh_directory
from temporem.simulation.config import SimulationConfig
from temporem.simulation.drawing import draw_frames, random_stream, written_poses
from temporem.simulation.images import (
    add_white_noise,
    clean_images,
    extent_of,
    require_fit,
    require_shifts_inside,
)
from temporem.simulation.truth import Truth, require_simulated, write_truth
from temporem.structures.molecule_source import MoleculeSource
from temporem.structures.motions import MOTIONS
from temporem.structures.motions.base import Motion


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
    over all pixels. Its variance is the variance of the clean images (CTF and shift included)
    divided by the signal-to-noise ratio. The same configuration gives the same files. A change of
    one setting leaves unchanged what is drawn for the others.

    Args:
        config: what to simulate.
        output: folder to write.
        structures_dir: searched first for structures.
        motion: the motion, if :func:`load_motion` has already made it for this configuration or for
            one that :func:`moves_alike`; a path between structures takes minutes.
        overwrite: replace the folder if it exists and is a simulated dataset.
        progress: called with the number of frames done and of all frames; while a path between
            structures is made, with the number of its conformations.

    Returns:
        A summary of what was simulated, of plain numbers.

    Raises:
        TemporemError: the structure or trajectory cannot be found or read, a selection names no
            atom, the molecule does not fit the box, a particle is drawn outside its image, or the
            output exists or cannot be written.
    """
    if overwrite:
        # A PDB code is not a file, and an output may be named after it.
        inputs = [file for file in map(Path, config.files) if file.is_file()]
        require_simulated(output, inputs if structures_dir is None else [structures_dir, *inputs])
    with fresh_directory(output, overwrite=overwrite) as directory:
        frames = draw_frames(config)
        rotations, shifts = written_poses(config, frames)
        require_shifts_inside(config, "shift_sd_angstrom", frames.shifts_angstrom)
        if shifts is not None:
            require_shifts_inside(config, "poses.shift_error_angstrom", shifts)
        if motion is None:
            motion = load_motion(config, structures_dir, progress=progress)
        extent = extent_of(motion, frames.parameters)
        require_fit(config, extent)
        images = clean_images(config, motion, frames, progress)
        signal_variance = float(images.var(dtype=np.float64))
        noise_variance = signal_variance / config.snr
        add_white_noise(images, noise_variance, random_stream(config.seed, "noise"))

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
        **MOTIONS[config.motion.kind].summarise(motion),
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
    return kind.load(config.motion, source, config.frames_per_movie, progress)


def moves_alike(one: SimulationConfig, other: SimulationConfig) -> bool:
    """True if :func:`load_motion` gives the same for both configurations."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("structure", "chains", "hydrogens", "motion", "frames_per_movie")
    )
