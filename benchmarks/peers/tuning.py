"""Chooses cryoDRGN's options without a truth: by the loss of movies that it was not trained on.

Every fifth movie is held out, whole. ``OUT/tuning.csv`` gets a line for each point and epoch as
soon as it is known; a second call with the same OUT keeps the points that are complete.
"""

from __future__ import annotations

import csv
import itertools
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import say
from benchmarks.peers.protocol import Training
from temporem.errors import TemporemError

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.peers.cryodrgn import CryoDRGN

HELD_OUT = 5  # one movie of so many

_LOSSES = re.compile(r"Average gen loss = (\S+), KLD = (\S+), total loss = ([^;\s]+)")


@dataclass(frozen=True)
class Losses:
    """Squared error per pixel, KL divergence, and the sum that cryoDRGN minimises."""

    reconstruction: float
    kl_divergence: float
    total: float


@dataclass(frozen=True)
class Rows:
    """Rows to train on, and rows to ask for the loss of; both ascend."""

    shown: np.ndarray
    hidden: np.ndarray


@dataclass(frozen=True)
class Grid:
    """Points to try: every combination of a width, a batch size and a rate.

    Attributes:
        widths: of encoder and decoder.
        batches: frames in a step.
        rates: step sizes, as the command line has them.
        epochs: when to ask for the loss of the movies held out; the last ends the training.
    """

    widths: tuple[int, ...]
    batches: tuple[int, ...]
    rates: tuple[str, ...]
    epochs: tuple[int, ...]

    def points(self) -> Iterator[tuple[int, int, str]]:
        yield from itertools.product(self.widths, self.batches, self.rates)


@dataclass(frozen=True)
class Line:
    """One point after some epochs; processor time is that of its whole training."""

    width: int
    batch: int
    rate: str
    seed: int
    epoch: int
    training_total: float
    held_out_reconstruction: float
    held_out_kl_divergence: float
    held_out_total: float
    processor_seconds: float
    peak_memory_mib: int

    @property
    def point(self) -> tuple[int, int, str, int]:
        return self.width, self.batch, self.rate, self.seed


def tune(
    peer: CryoDRGN, dataset: Path, output: Path, grid: Grid, *, z_dim: int, seed: int
) -> list[Line]:
    """Train on four fifths of the movies at every point; lines, the least loss first.

    Args:
        peer: the program.
        dataset: any dataset; its truth is not read.
        output: folder to write, or to go on in.
        grid: points and epochs.
        z_dim: latent dimension.
        seed: of every training.

    Raises:
        TemporemError: no environment, fewer than five movies, an unreadable log.
        CommandFailed: the program fails.
    """
    from temporem.frames.readers import read_dataset

    peer.environment.require()
    rows = split(read_dataset(dataset).movies)
    output.mkdir(parents=True, exist_ok=True)
    table = output / "tuning.csv"
    lines, inputs = read_lines(table), None
    for width, batch, rate in grid.points():
        point = (width, batch, rate, seed)
        if {line.epoch for line in lines if line.point == point} >= {*grid.epochs}:
            continue
        lines = [line for line in lines if line.point != point]
        work = output / f"width-{width}-batch-{batch}-rate-{rate}-seed-{seed}"
        shutil.rmtree(work, ignore_errors=True)  # a point that was stopped
        work.mkdir()
        inputs = inputs or peer.inputs(dataset, output)
        more = ("-b", str(batch), "--lr", rate, "--enc-dim", str(width), "--dec-dim", str(width))
        *also, last = sorted(grid.epochs)
        training = Training(z_dim, last, seed, tuple(also), (*more, "--no-amp"))
        usage, trained, held_out = peer.losses(inputs, work, training, rows)
        for epoch in sorted(grid.epochs):
            found = held_out[epoch]
            line = Line(
                *point,
                epoch,
                trained[epoch].total,
                *(found.reconstruction, found.kl_divergence, found.total),
                *(round(usage.processor_seconds, 1), round(usage.peak_memory_bytes / 2**20)),
            )
            say(", ".join(f"{name} {value}" for name, value in asdict(line).items()))
            lines.append(line)
        write_lines(table, lines)
        shutil.rmtree(work)  # weights of every epoch
    return sorted(lines, key=lambda line: line.held_out_total)


def split(movies: Sequence[np.ndarray]) -> Rows:
    """Hold every fifth movie out.

    Args:
        movies: rows of each movie.

    Raises:
        TemporemError: fewer than five movies.
    """
    import numpy as np

    if len(movies) < HELD_OUT:
        raise TemporemError(
            f"{len(movies)} movies", expected=f"{HELD_OUT} or more, to hold one out"
        )
    shown = [rows for k, rows in enumerate(movies) if (k + 1) % HELD_OUT]
    hidden = movies[HELD_OUT - 1 :: HELD_OUT]
    return Rows(np.sort(np.concatenate(shown)), np.sort(np.concatenate(hidden)))


def read_losses(log: Path) -> list[Losses]:
    """Losses that cryoDRGN printed, in order: one for each epoch, or one for all frames.

    Raises:
        TemporemError: none are there.
    """
    found = _LOSSES.findall(log.read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise TemporemError(f"{log} has no losses", expected="lines with 'total loss ='")
    return [Losses(*map(float, numbers)) for numbers in found]


def read_lines(table: Path) -> list[Line]:
    """Lines of an earlier call; none where there was no such call."""
    if not table.is_file():
        return []
    whole = dict.fromkeys(("width", "batch", "seed", "epoch", "peak_memory_mib"), int)
    kinds: dict[str, type[int] | type[str]] = {**whole, "rate": str}
    with table.open(newline="", encoding="utf-8") as file:
        return [
            Line(**{name: kinds.get(name, float)(text) for name, text in row.items()})
            for row in csv.DictReader(file)
        ]


def write_lines(table: Path, lines: Sequence[Line]) -> None:
    """Replace the table whole."""
    unfinished = table.with_suffix(".partial")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [x.name for x in fields(Line)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(line) for line in lines)
    unfinished.replace(table)
