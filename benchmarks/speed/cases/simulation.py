"""Frames simulated a second."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.speed.bench import (
    Bench,
    CaseResult,
    Measured,
    rates_by_difference,
    stack_header,
    usages,
)
from benchmarks.speed.series import Series, interleave


def measure(bench: Bench) -> CaseResult:
    """Whole commands, and without their start by difference of two."""
    programs = {n: partial(_simulate, bench, n) for n in bench.scale.simulated}
    fewer, more = interleave(programs, bench.repetitions).values()
    whole = [item["count"] / item["seconds"] for item in more]
    label = f"{bench.scale.simulation[0]}, {more[0]['count']:,} frames of {more[0]['box']}²"
    return CaseResult(
        "Simulation",
        [
            Series(f"{label}, whole command", "frames/s", whole, usages(more)),
            Series(f"{label}, without start", "frames/s", rates_by_difference(fewer, more)),
        ],
    )


def _simulate(bench: Bench, n_movies: int, turn: int) -> Measured:
    key = f"simulation {n_movies} movies {turn}"
    output = bench.scratch(key)
    options = ("-o", output, "--seed", 0, "--set", f"movies={n_movies}")
    command = bench.temporem("simulate", *bench.scale.simulation, *options)
    return bench.timed(key, command, output=output, read=lambda: _size(output))


def _size(dataset: Path) -> Measured:
    header = stack_header(dataset)
    return {"count": header.frames, "box": header.box}
