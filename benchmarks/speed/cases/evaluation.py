"""Frames scored a second by ``temporem evaluate``."""

from __future__ import annotations

from functools import partial

from benchmarks.speed.bench import (
    Bench,
    CaseResult,
    Measured,
    rates_by_difference,
    read_json,
    usages,
)
from benchmarks.speed.series import Series, interleave


def measure(bench: Bench) -> CaseResult:
    """Whole commands, and without their start by difference of two."""
    programs = {every: partial(_evaluate, bench, every) for every in bench.scale.every}
    fewer, more = interleave(programs, bench.repetitions).values()
    label, whole = f"tempor, {more[0]['count']} frames", [item["seconds"] for item in more]
    return CaseResult(
        "Evaluation",
        [
            Series(f"{label}, whole command", "s", whole, usages(more), less_is_better=True),
            Series(f"{label}, without start", "frames/s", rates_by_difference(fewer, more)),
        ],
    )


def _evaluate(bench: Bench, every: int, turn: int) -> Measured:
    run = bench.short_run
    options = ("--truth", bench.movies, "--every", every, "--overwrite")
    return bench.timed(
        f"evaluation every {every} {turn}",
        bench.temporem("evaluate", run, *options),
        read=lambda: {"count": read_json(run / "evaluation.json")["n_frames"]},
    )
