"""What larger images and more of them cost.

Steps are timed within a process, because whole runs would take hours; the linear model is a whole
command of one iteration.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.speed.bench import Bench, CaseResult, usages
from benchmarks.speed.cases.roofline import time_steps
from benchmarks.speed.series import Series

METHODS = ("static", "tempor")

_EXTENT_ANGSTROM = 128  # of the box; toy fits
_FRAMES_PER_MOVIE = 10


def measure(bench: Bench) -> CaseResult:
    """One process each; the spread is over its steps."""
    scale, rows = bench.scale, []
    cells = dict.fromkeys([*scale.growth, *scale.linear_growth])
    for box, frames in cells:
        dataset = bench.work / f"toy-{box}-{frames}"
        if (box, frames) in scale.growth:
            rows += [_steps(bench, method, dataset, box, frames) for method in METHODS]
        if (box, frames) in scale.linear_growth:
            rows.append(_linear(bench, dataset, box, frames))
        shutil.rmtree(dataset, ignore_errors=True)  # gigabytes
    order = (*METHODS, "linear")
    rows.sort(key=lambda row: order.index(row.label.partition(",")[0]))
    notes = [
        f"Simulated `toy`, movies of {_FRAMES_PER_MOVIE} frames. static and tempor: "
        f"{scale.steps} optimiser steps at full resolution, pixels drawn as by default, **within a "
        "process** that has read and prepared all frames before, one each: the range is over "
        "steps, not over repetitions. linear: the whole command, two components, one iteration.",
    ]
    return CaseResult("Growth", rows, notes)


def _steps(bench: Bench, method: str, dataset: Path, box: int, frames: int) -> Series:
    key = f"growth {method} {box} {frames}"
    if not bench.record.measured(key):
        _simulate(bench, dataset, box, frames)
    found = time_steps(bench, key, dataset, method=method)
    return Series(
        f"{method}, {box}², {frames:,} frames",
        "frames/s",
        [found["size"]["frames"] / seconds for seconds in found["step_seconds"]],
        usages([found]),
        columns={"preparing (s)": found["prepare_seconds"]},
    )


def _linear(bench: Bench, dataset: Path, box: int, frames: int) -> Series:
    key = f"growth linear {box} {frames}"
    output = bench.scratch(key)
    if not bench.record.measured(key):
        _simulate(bench, dataset, box, frames)
    options = ("--method", "linear", "--components", 2, "--set", "linear.iterations=1")
    command = bench.temporem("reconstruct", dataset, "-o", output, "--seed", 0, *options)
    found = bench.timed(key, command, output=output)
    return Series(
        f"linear, {box}², {frames:,} frames",
        "s",
        [found["seconds"]],
        usages([found]),
        less_is_better=True,
    )


def _simulate(bench: Bench, dataset: Path, box: int, frames: int) -> None:
    settings = (
        f"movies={frames // _FRAMES_PER_MOVIE}",
        f"frames_per_movie={_FRAMES_PER_MOVIE}",
        f"box={box}",
        f"pixel_size_angstrom={_EXTENT_ANGSTROM / box}",
    )
    options = [part for setting in settings for part in ("--set", setting)]
    command = bench.temporem("simulate", "toy", "-o", dataset, "--seed", 0, *options)
    bench.artefact(dataset, dataset, command)
