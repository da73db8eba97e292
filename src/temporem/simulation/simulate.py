"""Simulation of movies to a folder, with their truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from temporem.frames.dataset import write_dataset
from temporem.io.files import fresh_directory
from temporem.simulation.config import SimulationConfig
from temporem.simulation.in_memory import Count, make_movies
from temporem.simulation.truth import require_simulated, write_truth
from temporem.structures.motions.base import Motion


def simulate(
    config: SimulationConfig,
    output: str | Path,
    *,
    structures_dir: str | Path | None = None,
    motion: Motion | None = None,
    overwrite: bool = False,
    progress: Count | None = None,
) -> dict[str, Any]:
    """Simulate a dataset and write it, with its truth, to a new folder.

    Args:
        config: what to simulate; see :func:`make_movies`.
        output: folder to write.
        structures_dir: searched first for structures.
        motion: the motion, if it was made already; see :func:`make_movies`.
        overwrite: replace the folder if it exists and is a simulated dataset.
        progress: called with the number of frames done and of all frames; while a path between
            structures is made, with the number of its conformations.

    Returns:
        A summary of what was simulated, of plain numbers.

    Raises:
        TemporemError: as :func:`make_movies`, or the output exists or cannot be written.

    Example:
        >>> from temporem.simulation.presets import load_simulation_config
        >>> config = load_simulation_config("toy", changes={"movies": 20})
        >>> tm.simulate(config, "new-movies")["frames"]
        200
    """
    if overwrite:
        # A PDB code is not a file, and an output may be named after it.
        inputs = [file for file in map(Path, config.files) if file.is_file()]
        require_simulated(output, inputs if structures_dir is None else [structures_dir, *inputs])
    with fresh_directory(output, overwrite=overwrite) as directory:
        made = make_movies(config, structures_dir=structures_dir, motion=motion, progress=progress)
        data = made.dataset
        write_dataset(
            directory,
            images=data.images[:],
            pixel_size_angstrom=data.pixel_size_angstrom,
            poses=data.poses if data.has_poses else None,
            ctf=data.ctf,
            particle_names=data.particle_names,
            frame_numbers=data.frame_numbers,
            times_seconds=data.times_seconds,
        )
        write_truth(directory, made.truth)
    return made.summary
