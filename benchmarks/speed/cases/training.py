"""Frames trained on a second: whole epochs of the same network on the same data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.speed.bench import Bench, CaseResult, Measured, read_json, stack_header, usages
from benchmarks.speed.series import Series, interleave

PEER = "cryodrgn train_vae, float32"

_ALL_PIXELS = ("training.start_resolution=1", "training.pixels_per_frame=1000000")
# From scratch: the linear model that tempor starts from by default is no part of its epochs.
_FROM_SCRATCH = ("training.init=static", "training.pretrain_epochs=0")


@dataclass(frozen=True)
class Variant:
    """How one of our methods is trained.

    Attributes:
        method: static or tempor.
        settings: besides the number of epochs.
        scheduled: with the default schedule, from low to full resolution and with pixels drawn,
            over the usual number of epochs; all of them count.
    """

    method: str
    settings: tuple[str, ...]
    scheduled: bool = False


VARIANTS = {
    "static, default schedule": Variant("static", (), scheduled=True),
    "static, all pixels": Variant("static", _ALL_PIXELS),
    "static, all pixels, float32": Variant("static", (*_ALL_PIXELS, "training.precision=float32")),
    "tempor, default schedule": Variant("tempor", (), scheduled=True),
    "tempor, all pixels": Variant("tempor", (*_ALL_PIXELS, *_FROM_SCRATCH)),
    "tempor, all pixels, float32": Variant(
        "tempor", (*_ALL_PIXELS, *_FROM_SCRATCH, "training.precision=float32")
    ),
}


def measure(bench: Bench) -> CaseResult:
    """Rates of epochs as the programs time them, so without start, reading and results."""
    programs = {label: partial(_ours, bench, label) for label in VARIANTS}
    if bench.environment is not None:
        programs[PEER] = partial(_peer, bench)
    found = interleave(programs, bench.repetitions)
    header, scale = stack_header(bench.movies), bench.scale
    rows = [
        Series(
            label,
            "frames/s",
            [header.frames * item["epochs"] / item["epoch_seconds"] for item in items],
            usages(items),
            group="epochs",
            peer=label == PEER,
        )
        for label, items in found.items()
    ]
    notes = [
        f"{header.frames:,} frames of {header.box}², z-dim 1, generator 3 × 256 in every row. "
        "Seconds of epochs as the programs report them: no start, reading or results.",
        f"Default schedule: mean over all {scale.schedule_epochs} epochs, most of which fit low "
        "resolution only, and a step looks at a drawn sample of pixels. All pixels: every step at "
        "all of them up to Nyquist, as cryodrgn; here and there the first epoch is not counted.",
        "Matrix products in bfloat16 where that is fast, but for rows that say float32.",
        "The commands took unequal numbers of epochs: do not compare their seconds.",
    ]
    return CaseResult("Training", rows, notes)


def epoch_durations(metrics: Path) -> list[float]:
    """Seconds of every epoch of a run, from the total that ``metrics.jsonl`` has after each."""
    lines = metrics.read_text(encoding="utf-8").splitlines()
    totals = [0.0, *(json.loads(line)["seconds"] for line in lines)]
    return [after - before for before, after in pairwise(totals)]


def _ours(bench: Bench, label: str, turn: int) -> Measured:
    variant, key = VARIANTS[label], f"training {label} {turn}"
    output = bench.scratch(key)
    epochs = bench.scale.schedule_epochs if variant.scheduled else bench.scale.full_epochs
    settings = [f"training.epochs={epochs}", *variant.settings]
    command = bench.temporem(
        "reconstruct",
        *(bench.movies, "-o", output, "--method", variant.method, "--seed", 0),
        *(part for setting in settings for part in ("--set", setting)),
    )

    def read() -> Measured:
        durations = epoch_durations(output / "metrics.jsonl")
        return _counted(durations if variant.scheduled else durations[1:])

    return bench.timed(key, command, output=output, read=read)


def _peer(bench: Bench, turn: int) -> Measured:
    key = f"training cryodrgn {turn}"
    output = bench.scratch(key)
    epochs = ("--epochs", bench.scale.peer_epochs, "--checkpoint", 1)
    command = bench.peer_module("train", bench.movies, "-o", output, "--z-dim", 1, *epochs)

    def read() -> Measured:
        record = read_json(output / "peer.json")
        totals = list(record["checkpoint_seconds"].values())
        durations = [after - before for before, after in pairwise(totals)]
        return {**peer_usage(record), **_counted(durations)}

    return bench.timed(key, command, output=output, read=read)


def peer_usage(record: Measured) -> Measured:
    """What cryoDRGN took itself, without our program that starts it and converts poses."""
    return {name: record[name] for name in ("seconds", "cpu_seconds", "peak_memory_bytes")}


def _counted(durations: list[float]) -> Measured:
    return {"epochs": len(durations), "epoch_seconds": sum(durations)}
