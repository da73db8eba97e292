"""Chooses cryoDRGN's options without a truth: by the loss that it reports for all frames.

``OUT/tuning.csv`` gets a line for each point and epoch as soon as a training ends; a second call
with the same OUT keeps the points that are complete. Each training stays in a folder of OUT, so
that its latents can be looked at.
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
    from benchmarks.peers.cryodrgn import CryoDRGN

# Single epochs differ by chance, so the mean of five is compared with that of the five before.
WINDOW = 5
SETTLED = 0.0025  # a lesser fall of the loss, as a share of it, is a plateau

_LOSSES = re.compile(r"Average gen loss = (\S+), KLD = (\S+), total loss = ([^;\s]+)")


@dataclass(frozen=True)
class Losses:
    """Squared error per pixel, KL divergence, and the sum that cryoDRGN minimises."""

    reconstruction: float
    kl_divergence: float
    total: float


@dataclass(frozen=True)
class Grid:
    """Points to try: every combination of a width, a batch size and a rate.

    Attributes:
        widths: of encoder and decoder.
        batches: frames in a step.
        rates: step sizes, as the command line has them.
    """

    widths: tuple[int, ...]
    batches: tuple[int, ...]
    rates: tuple[str, ...]

    def points(self) -> Iterator[tuple[int, int, str]]:
        yield from itertools.product(self.widths, self.batches, self.rates)


@dataclass(frozen=True)
class Line:
    """One point after one epoch; time and memory are those of its whole training."""

    width: int
    batch: int
    rate: str
    seed: int
    epoch: int
    reconstruction: float
    kl_divergence: float
    total: float
    processor_seconds: float
    peak_memory_mib: int

    @property
    def point(self) -> tuple[int, int, str, int]:
        return self.width, self.batch, self.rate, self.seed


@dataclass(frozen=True)
class Point:
    """What a training came to.

    Attributes:
        last: its last epoch.
        loss: mean loss of the last epochs.
        plateau: first epoch of the plateau; None while the loss still falls.
    """

    last: Line
    loss: float
    plateau: int | None


def tune(
    peer: CryoDRGN, dataset: Path, output: Path, grid: Grid, *, epochs: int, z_dim: int, seed: int
) -> list[Point]:
    """Train on all frames at every point; points, the least loss first.

    Args:
        peer: the program.
        dataset: any dataset; its truth is not read.
        output: folder to write, or to go on in.
        grid: points to try.
        epochs: of every training.
        z_dim: latent dimension.
        seed: of every training.

    Raises:
        TemporemError: no environment, too few epochs, an unreadable log.
        CommandFailed: the program fails.
    """
    if epochs < 2 * WINDOW:
        raise TemporemError(f"{epochs} epochs", expected=f"{2 * WINDOW} or more, for a plateau")
    peer.environment.require()
    output.mkdir(parents=True, exist_ok=True)
    table = output / "tuning.csv"
    lines, inputs = read_lines(table), None
    for width, batch, rate in grid.points():
        point = (width, batch, rate, seed)
        if sum(line.point == point for line in lines) >= epochs:
            continue
        lines = [line for line in lines if line.point != point]
        work = output / f"width-{width}-batch-{batch}-rate-{rate}-seed-{seed}"
        shutil.rmtree(work, ignore_errors=True)  # a point that was stopped, or of fewer epochs
        work.mkdir()
        inputs = inputs or peer.inputs(dataset, output)
        more = ("-b", str(batch), "--lr", rate, "--enc-dim", str(width), "--dec-dim", str(width))
        training = Training(z_dim, epochs, seed, more=(*more, "--no-amp"))
        usage, losses = peer.losses(inputs, work, training)
        used = round(usage.processor_seconds, 1), round(usage.peak_memory_bytes / 2**20)
        lines += [
            Line(*point, epoch, found.reconstruction, found.kl_divergence, found.total, *used)
            for epoch, found in enumerate(losses, start=1)
        ]
        write_lines(table, lines)
        say(f"width {width}, batch {batch}, rate {rate}: loss {losses[-1].total}, {used[0]} s")
    grouped = [[line for line in lines if line.point == (*p, seed)] for p in grid.points()]
    return sorted(map(summary, grouped), key=lambda point: point.loss)


def summary(lines: Sequence[Line]) -> Point:
    """Find loss and plateau of one training, of all its epochs in order."""
    losses = [line.total for line in lines]
    return Point(lines[-1], sum(losses[-WINDOW:]) / WINDOW, plateau(losses))


def plateau(losses: Sequence[float]) -> int | None:
    """First epoch at which the loss has all but stopped falling; None if it still falls."""
    for epoch in range(2 * WINDOW, len(losses) + 1):
        before = sum(losses[epoch - 2 * WINDOW : epoch - WINDOW])
        now = sum(losses[epoch - WINDOW : epoch])
        if now > (1 - SETTLED) * before:
            return epoch
    return None


def read_losses(log: Path) -> list[Losses]:
    """Losses that cryoDRGN printed, in order: one for each epoch.

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
