"""The evaluation of a run against the truth of its dataset."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from temporem.analysis.evaluation import Evaluation, Progress, evaluate
from temporem.analysis.frames import Frames
from temporem.data.dataset import MovieDataset, read_dataset
from temporem.data.truth import read_truth
from temporem.training.run_files import Run


def evaluate_run(
    run: Run, dataset: str | Path, *, every: int = 1, progress: Progress | None = None
) -> Evaluation:
    """Measure a run against the truth of a simulated dataset.

    Args:
        run: a finished run.
        dataset: the dataset that it was made from.
        every: evaluate every so manieth frame of every movie.
        progress: told after every batch of frames.

    Raises:
        TemporemError: the dataset has no truth, or its rows are not the frames of the run.
    """
    movies, truth = read_dataset(dataset), read_truth(dataset)
    run.require_frames_of(movies)
    frames = frames_of_run(run, movies, every=every)
    return evaluate(
        run,
        truth,
        frames,
        box=run.grid.box,
        pixel_size_angstrom=run.grid.pixel_size_angstrom,
        latents=None if run.latents is None else run.latents[frames.rows],
        parameters=truth.parameters.numpy()[frames.rows],
        parameter_names=truth.parameter_names,
        states=truth.states[frames.rows],
        progress=progress,
    )


def frames_of_run(run: Run, dataset: MovieDataset, *, every: int = 1) -> Frames:
    """The frames of all movies, thinned out within every movie, with those held out marked.

    Thinning starts at another frame in each movie: were it the same one, movies that begin in the
    same state would show only some of their states.
    """
    held_out = [i for i, rows in enumerate(dataset.movies) if run.held_out[rows].any()]
    frames = Frames.of_dataset(dataset, held_out=held_out)
    position = np.concatenate([np.arange(len(r)) + i for i, r in enumerate(dataset.movies)])
    chosen = position % every == 0
    return Frames(**{field.name: getattr(frames, field.name)[chosen] for field in fields(Frames)})
