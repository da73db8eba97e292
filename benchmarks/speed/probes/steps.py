"""Optimiser steps of the real training loop: ``python -m benchmarks.speed.probes.steps DATASET``.

Reads and prepares the dataset as a run does, takes some steps at full resolution, with pixels
drawn as by default, and stops. The model starts from scratch, so that the time of a start is not
that of a step.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.speed.probes.clock import seconds_when_done

from temporem.device import choose_device
from temporem.dvae.training import Trainer
from temporem.frames.dataset import read_dataset
from temporem.frames.frames import prepare_frames
from temporem.io.settings import apply_overrides
from temporem.runs.config import RunConfig, build_config

_MOST_BEFORE = 10  # steps that are not counted: memory is allocated, kernels are chosen


class _Enough(Exception):
    """Enough steps were taken."""


def measure_steps(
    dataset: Path, method: str, n_steps: int, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Times of single steps at full resolution and the sizes that they are of.

    Args:
        dataset: with movies.
        method: static or tempor.
        n_steps: to be timed.
        overrides: of settings, as ``--set`` of ``temporem reconstruct``.

    Returns:
        ``step_seconds`` (a list; of a GPU, which is not waited for, when steps were asked for),
        ``seconds``, the mean until all were done, ``prepare_seconds``, ``dtype``, and ``size``, the
        arguments of :class:`~benchmarks.speed.counting.StepSize`.
    """
    config = _config(dataset, method, overrides)
    device = choose_device(config.training.device)
    started = time.perf_counter()
    movies = read_dataset(dataset)
    frames = prepare_frames(movies, config.data, config.model.encoder_input, movies.movies, device)
    prepared = seconds_when_done(device)
    before = min(n_steps, _MOST_BEFORE)
    ticks: list[float] = []

    def progress(stage: str, done: int, total: int, terms: dict[str, float]) -> None:
        bound = len(ticks) in (before, before + n_steps)
        ticks.append(seconds_when_done(device) if bound else time.perf_counter())
        if len(ticks) > before + n_steps:
            raise _Enough

    with TemporaryDirectory() as folder:
        trainer = Trainer(config, frames, movies.movies, Path(folder), progress)
        try:
            trainer.fit()
        except _Enough:
            ticks = ticks[before:]
    model = config.model
    generator_dtype = trainer.model.generator.mlp.dtype
    per_step = config.training.frames_per_step
    return {
        "step_seconds": [b - a for a, b in pairwise(ticks)],
        "seconds": (ticks[-1] - ticks[0]) / n_steps,
        "prepare_seconds": prepared - started,
        "dtype": "float32" if generator_dtype is None else str(generator_dtype).split(".")[-1],
        "size": {
            "frames": per_step,
            "pixels": min(config.training.pixels_per_frame, len(frames.forward_model.support)),
            "z_dim": model.z_dim,
            "width": model.generator_width,
            "depth": model.generator_depth,
            "features": model.generator_features,
        },
    }


def _config(dataset: Path, method: str, overrides: Sequence[str]) -> RunConfig:
    training: dict[str, Any] = {
        "epochs": 10_000,  # more than is ever reached
        "start_resolution": 1,
        "linear_start": False,
        "checkpoint_seconds": 1e9,
    }
    if method == "tempor":
        training |= {"init": "static", "pretrain_epochs": 0}
    settings = {"method": method, "dataset": str(dataset.absolute()), "training": training}
    return build_config(apply_overrides(settings, overrides), source="steps")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the result to ``-o``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--method", choices=["static", "tempor"], default="static")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    found = measure_steps(options.dataset, options.method, options.steps, options.set)
    options.output.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
