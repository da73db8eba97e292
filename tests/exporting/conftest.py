"""A run of a few volumes in which something moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.exports import BOX, ball
from temporem.runs.run import Run, load_run
from temporem.runs.series import Series, frames_series
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import VolumeGrid


@pytest.fixture(scope="module")
def run(tiny_runs: dict[str, Path]) -> Run:
    """Twenty frames of a ball that stays and one that comes and goes."""
    run = load_run(tiny_runs["tempor"])
    generator = LinearVolumes(BOX, 1)
    generator.set_maps(torch.from_numpy(np.stack([ball(-3, 3), ball(4, 2.5)])).float())
    return replace(
        run,
        grid=VolumeGrid(BOX, 8.0, 1.0),
        generator=generator,
        latent_means=torch.linspace(0, 1, run.n_frames)[:, None],
        times_seconds=0.5 + 0.25 * np.arange(run.n_frames),
    )


@pytest.fixture
def series(run: Run) -> Series:
    return frames_series(run, np.array([0, 10, 19]))
