"""Runs made from others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from temporem.runs.run import Run
from temporem.volumes.generators import make_generator
from temporem.volumes.source import VolumeGrid

BOX = 32


def run_of_a_network(run: Run, n: int) -> Run:
    """The run with n frames of a network whose volumes are large enough to be decoded in spans."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = make_generator("volumes", BOX, 1, 16)
        latents = torch.randn(n, 1)
    return replace(
        run,
        grid=VolumeGrid(BOX, 4.0, 1.0),
        generator=generator,
        latent_means=latents,
        particle_names=[run.particle_names[0]] * n,
        frame_numbers=np.arange(1, n + 1),
        times_seconds=np.full(n, np.nan),
    )


def volume_of_row(folder: Path, row: int, ending: str = "") -> Path:
    """The file of a frame's volume that ``temporem export`` wrote."""
    files = folder.glob(f"frame_{row:06d}_*.mrc")
    (file,) = [file for file in files if file.stem.endswith("_sd") == bool(ending)]
    return file
