"""Two models of a run's method, each of half of its movies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.device import choose_device
from temporem.distributed import SINGLE_PROCESS
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.io.checkpoint import save_checkpoint
from temporem.io.files import atomic_write, held
from temporem.io.outputs import require_no_links
from temporem.io.state import Parts
from temporem.progress import Progress
from temporem.runs import names
from temporem.runs.half_runs import LATENTS, half_folders, read_half
from temporem.runs.held_out import movies_of_run
from temporem.runs.methods import find_method
from temporem.runs.methods.base import Job, Task
from temporem.runs.persistence import RunStore
from temporem.runs.run import Run
from temporem.volumes.source import Decodes

LEAST_MOVIES = 8
"""Movies that a run must have trained on: a fit wants four folds, and each half two of each."""


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A model of some of the movies.

    Attributes:
        generator: its volumes, in units of the images' noise.
        latents: posterior means of the frames of all movies, ``(N, q)``.
        frames: all frames; the model was trained on ``frames.training``.
        stored: the model as it is stored.
    """

    generator: Decodes
    latents: Tensor
    frames: Frames
    stored: Parts


def half_models(
    run: Run, dataset: Dataset, progress: Progress | None = None
) -> tuple[FittedModel, FittedModel]:
    """Train a run's method on each half of its movies, with its settings and poses.

    The start, the mean volume, the linear model and the network of a half come from its own movies
    alone. The halves share given poses, and the spectra of noise and signal, which are measured on
    all images. Movies that the run held out are in neither half. States are kept in
    ``RUN/validation``, so that what was stopped goes on when it is called again, and what is
    finished is read.

    Args:
        run: a finished run.
        dataset: the movies that it was made from.
        progress: receives the progress of both trainings.

    Raises:
        TemporemError: too few movies, poses that were learned with the network, or a training that
            diverges.
        KeyboardInterrupt: after Ctrl-C, once a checkpoint is written.
    """
    config, progress = run.config, progress or Progress()
    if config.learned_poses == "table":
        raise TemporemError(
            f"{run.path} learned its poses with the network, and half sets need given poses",
            expected="a run with known poses, or with poses that a search found",
        )
    if config.searches_poses:
        dataset = dataset.with_poses(run.poses)
    dataset, training = movies_of_run(dataset, config)
    if len(training) < LEAST_MOVIES:
        raise TemporemError(
            f"{run.path} was trained on {len(training)} movies",
            expected=f"at least {LEAST_MOVIES}, so that each half has enough to learn from",
        )
    folders = half_folders(run.path)
    require_no_links([run.path / names.VALIDATION, *folders])
    models = []
    with held(run.path):
        for index, folder in enumerate(folders):
            folder.mkdir(parents=True, exist_ok=True)
            half = progress.part(index / 2, (index + 1) / 2, f"half {index + 1} of 2")
            models.append(_half(run, dataset, training[index::2], folder, half))
    return models[0], models[1]


def _half(
    run: Run, dataset: Dataset, training: list[np.ndarray], folder: Path, progress: Progress
) -> FittedModel:
    """Train the model of one half, or read it."""
    config, method = run.config, find_method(run.config.method)
    device = choose_device(config.device)
    method.check(config, dataset, training)
    frames = prepare_frames(dataset, config.data, training, device)
    file, finished = folder / names.MODEL, folder / LATENTS
    if not finished.is_file():
        store = RunStore(folder, SINGLE_PROCESS, config.checkpoint_seconds)
        store.open()
        task = Task(config, dataset, training, device, SINGLE_PROCESS)
        outcome = method.run(Job(task, frames, store, progress))
        mean = torch.zeros(len(frames), 0) if outcome.mean is None else outcome.mean
        save_checkpoint(file, outcome.model)
        with atomic_write(finished) as partial:
            np.savez(partial, mean=mean.float().cpu().numpy())
        store.close()
    progress(1, 1)
    generator, latents, stored = read_half(run, folder, device)
    return FittedModel(generator, latents, frames, stored)
