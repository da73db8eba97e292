"""Choices of the paper that no setting has; each takes the place of one part of ``tempor``.

The experiment ``deviations`` runs this as a program: ``python -m benchmarks.deviations --help``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.common import positive, say
from temporem.dvae import inference, schedule
from temporem.dvae.inference import SequenceInference
from temporem.dvae.latents import Latents
from temporem.dvae.schedule import Position, Schedule
from temporem.errors import TemporemError
from temporem.evaluation.api import evaluate
from temporem.evaluation.storage import save_evaluation
from temporem.experiments.execute import RunClock
from temporem.frames import frames
from temporem.frames.dataset import Dataset
from temporem.frames.frame_noise import FrameNoise
from temporem.runs.config import build_config
from temporem.runs.pipeline import reconstruct
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.layers import ResidualMLP

_COMBINER_DEPTH = 3


def prior_from_second_frame() -> None:
    """Leave the first frame of every movie out of the KL term (Eq. 11 as printed)."""
    whole = SequenceInference.forward

    def forward(
        self: SequenceInference,
        features: Tensor,
        lengths: Tensor,
        times: Tensor,
        noise: FrameNoise | None,
    ) -> Latents:
        latents = whole(self, features, lengths, times, noise)
        later = torch.ones(len(features), dtype=torch.bool)
        later[lengths.cumsum(0) - lengths] = False
        return replace(latents, kl=latents.kl * later.to(latents.kl.device))

    SequenceInference.forward = forward  # type: ignore[method-assign]


def order_without_times() -> None:
    """Take all frames of a movie as equally far apart, with no gaps."""

    def no_gaps(times: Tensor, lengths: Tensor) -> Tensor:
        return torch.zeros(len(times), 1)

    def equal_intervals(dataset: Dataset) -> tuple[Tensor, Tensor]:
        return torch.ones(1, dtype=torch.float64), torch.zeros(dataset.n_frames, dtype=torch.long)

    inference.log_gaps = no_gaps
    frames.frame_intervals = equal_intervals


def no_envelope() -> None:
    """Have the generator's values as its network gives them, at every resolution."""

    def set_amplitude(self: FourierNetwork, amplitudes: Tensor) -> None:
        self.envelope.fill_(1.0)

    FourierNetwork.set_amplitude = set_amplitude  # type: ignore[method-assign]


def constant_rate() -> None:
    """Keep Adam's step size to the end."""

    def learning_rate(self: Schedule, position: Position) -> float:
        return self.training.learning_rate

    Schedule.learning_rate = learning_rate  # type: ignore[method-assign]


def kl_at_once() -> None:
    """Give the KL term its whole weight from the first epoch."""
    schedule.KL_RISE_EPOCHS = 0


def deep_combiner() -> None:
    """Read z_{t-1} by a network of three layers, and make the combiner's as deep."""
    shallow = SequenceInference.__init__

    def deep(self: SequenceInference, *sizes: object) -> None:
        shallow(self, *sizes)  # type: ignore[arg-type]
        width = self.combiner.last.in_features
        self.combiner = ResidualMLP(width, width, _COMBINER_DEPTH, 2 * self.z_dim)
        if self.previous is not None:
            reader: nn.Module = ResidualMLP(self.z_dim, width, _COMBINER_DEPTH, width)
            self.previous = reader  # type: ignore[assignment]

    SequenceInference.__init__ = deep  # type: ignore[method-assign]


CHOICES: dict[str, Callable[[], None]] = {
    "prior-from-second-frame": prior_from_second_frame,
    "order-without-times": order_without_times,
    "no-envelope": no_envelope,
    "constant-rate": constant_rate,
    "kl-at-once": kl_at_once,
    "deep-combiner": deep_combiner,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Reconstruct with a choice and evaluate; returns 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deviations", description=__doc__)
    parser.add_argument("choice", choices=CHOICES)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=positive, default=1)
    options = parser.parse_args(arguments)
    CHOICES[options.choice]()
    try:
        run_and_score(options.dataset, options.output, options.seed, options.every)
    except TemporemError as error:
        say(f"error: {error}")
        return 2
    return 0


def run_and_score(dataset: Path, output: Path, seed: int, every: int) -> None:
    """Run ``tempor`` in ``output/run``, and leave its scores and times in ``output``."""
    values = {"dataset": str(dataset), "method": "tempor", "seed": seed}
    values["training"] = {"kl_weight": 1.0}  # by the bound, as the other rows
    config = build_config(values, source="benchmarks.deviations")
    clock = RunClock()
    output.mkdir(parents=True, exist_ok=True)
    run = reconstruct(config, output / "run")
    clock.write(output)
    save_evaluation(evaluate(run, dataset, every=every), output)


if __name__ == "__main__":
    sys.exit(main())
