"""TEMPOR and the static model as published, with the loss of held-out movies along the training.

``python -m benchmarks.published DATASET -o OUT --method tempor`` takes ``paper.yaml``. A fifth of
the movies is held out. ``curve.csv`` shows whether training was long enough.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import positive, say
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.state import TrainingState
from temporem.dvae.training import training_states
from temporem.errors import TemporemError
from temporem.evaluation.api import evaluate
from temporem.evaluation.storage import save_evaluation
from temporem.experiments.execute import RunClock
from temporem.physics.pixel_sample import PixelSample
from temporem.runs.config import build_config, load_run_settings
from temporem.runs.methods import network
from temporem.runs.pipeline import reconstruct

_HELD_OUT = 0.2
_COLUMNS = ("epoch", "stage", "log_likelihood", "held_out_log_likelihood", "held_out_kl")


@torch.no_grad()
def held_out_terms(state: TrainingState, encoded: EncodedFrames) -> tuple[float, float]:
    """Mean log-likelihood and KL term of held-out frames, at the means of their latents."""
    frames = encoded.frames
    used = set(np.concatenate(frames.training).tolist())
    movies = [movie for movie in frames.movies if int(movie[0]) not in used]
    support = frames.forward_model.support
    batch = encoded.batch(movies).at(PixelSample.lowest(support, len(support)))
    bound = state.model.bound(batch)
    return float(bound.log_likelihood.mean()), float(bound.kl.mean())


def watched(curve: Path, every: int) -> Any:
    """Make ``training_states`` that writes held-out terms into a table every few epochs."""

    def states(encoded: EncodedFrames, *settings: Any, **more: Any) -> Iterator[TrainingState]:
        with curve.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(_COLUMNS)
            for state in training_states(encoded, *settings, **more):
                record = state.record
                if record is not None and record["epoch"] % every == 0:
                    likelihood, kl = held_out_terms(state, encoded)
                    seen = record["epoch"], record["stage"], record["log_likelihood"]
                    rows.writerow([*seen, round(likelihood, 3), round(kl, 4)])
                    file.flush()
                yield state

    return states


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and evaluate; returns 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published", description=__doc__)
    add = parser.add_argument
    add("dataset", type=Path)
    add("-o", "--output", type=Path, required=True)
    add("--method", choices=("static", "tempor"), required=True)
    add("--seed", type=int, default=0)
    add("--every", type=positive, default=1, help="as in temporem evaluate (default: 1)")
    add("--epochs", type=positive, default=80, help="default: 80")
    add("--width", type=positive, default=1024, help="of all networks (default: 1024)")
    add("--rate", type=float, default=1e-4, help="Adam's step size (default: 1e-4)")
    text = "pixels of a frame in a step, drawn anew (default: all)"
    add("--pixels", type=positive, default=1_000_000, help=text)
    add("--z-dim", type=positive, default=1)
    options = parser.parse_args(arguments)
    try:
        train_and_score(options)
    except TemporemError as error:
        say(f"error: {error}")
        return 2
    return 0


def train_and_score(options: argparse.Namespace) -> None:
    """Leave the run, the curve, scores and times in the output folder."""
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    values = load_run_settings("paper.yaml")
    widths = dict.fromkeys(("encoder_width", "rnn_width", "generator_width"), options.width)
    values["model"] |= {"z_dim": options.z_dim} | widths
    values["training"] |= {"epochs": options.epochs, "learning_rate": options.rate}
    values["training"]["pixels_per_frame"] = options.pixels
    if options.method == "static":
        values["training"]["start"] = "none"
    values |= {"dataset": str(options.dataset), "method": options.method, "seed": options.seed}
    values["data"] = {"held_out_fraction": _HELD_OUT}
    config = build_config(values, source="benchmarks.published")
    network.training_states = watched(output / "curve.csv", max(1, options.epochs // 20))
    clock = RunClock()
    run = reconstruct(config, output / "run")
    clock.write(output)
    evaluation = evaluate(run, options.dataset, every=options.every)
    # All frames count as one set, as in the evaluations that an experiment compares it with.
    together = replace(evaluation.frames, held_out=np.zeros_like(evaluation.frames.held_out))
    save_evaluation(replace(evaluation, frames=together), output)


if __name__ == "__main__":
    sys.exit(main())
