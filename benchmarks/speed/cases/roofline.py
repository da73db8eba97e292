"""How near training comes to what the machine can do."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.speed.bench import Bench, CaseResult, Measured, read_json
from benchmarks.speed.counting import (
    BFLOAT16_BYTES,
    FLOAT32_BYTES,
    StepSize,
    least_bytes,
    operations,
)
from benchmarks.speed.series import Series, interleave

GIGA, MEBIBYTE = 1e9, 2**20


def measure(bench: Bench) -> CaseResult:
    """Rates of the machine, and of steps of ``static`` at full resolution, in both precisions."""
    precisions = ("float32", "auto")
    steps = interleave({p: partial(_steps, bench, p) for p in precisions}, bench.repetitions)
    size = StepSize(**steps["auto"][0]["size"])
    rates = [_rates(bench, size, turn) for turn in range(bench.repetitions)]
    rows, notes = _machine_rows(rates), []
    for items in {item[0]["dtype"]: item for item in steps.values()}.values():
        dtype = items[0]["dtype"]
        seconds = [statistics.median(item["step_seconds"]) for item in items]
        achieved = [operations(size) / s / GIGA for s in seconds]
        rows.append(Series(f"static, training step, {dtype}", "GFLOP/s", achieved))
        peak, copy = _best(rates, "large", dtype), max(rate["copy"] for rate in rates)
        shapes = _best(rates, "step", dtype)
        notes.append(roofline_note(size, dtype, statistics.median(seconds), peak, shapes, copy))
    return CaseResult("Roofline", rows, [_step_note(size), *notes])


def _steps(bench: Bench, precision: str, turn: int) -> Measured:
    return time_steps(bench, f"roofline {precision} {turn}", bench.movies, precision=precision)


def time_steps(
    bench: Bench, key: str, dataset: Path, *, method: str = "static", precision: str = "auto"
) -> Measured:
    """Steps of the training loop, timed within a process of its own."""
    output = bench.scratch(f"{key}.json")
    command = bench.module(
        "benchmarks.speed.probes.steps",
        *(dataset, "--method", method, "--set", f"training.precision={precision}"),
        *("--steps", bench.scale.steps, "-o", output),
    )
    return bench.timed(key, command, output=output, read=lambda: read_json(output))


def roofline_note(
    size: StepSize, dtype: str, seconds: float, peak: float, shapes: float, copy: float
) -> str:
    """Where a training step stands under the roof, in words.

    Args:
        size: of the step.
        dtype: of its matrix products.
        seconds: that it takes.
        peak: operations a second in large products.
        shapes: operations a second in the products of a step alone.
        copy: bytes a second.
    """
    traffic = least_bytes(size, BFLOAT16_BYTES if dtype == "bfloat16" else FLOAT32_BYTES)
    work = operations(size)
    intensity, ridge = work / traffic, peak / copy
    roof = min(peak, intensity * copy)
    bound = "arithmetic" if intensity >= ridge else "memory"
    achieved = work / seconds
    return (
        f"{dtype}: a step moves at least {traffic / MEBIBYTE:,.0f} MiB, so it does "
        f"{intensity:.0f} operations a byte; below {ridge:.0f} memory would be the limit. Here it "
        f"is {bound}, and the roof is {roof / GIGA:,.0f} GFLOP/s. The products of a step alone "
        f"reach {shapes / GIGA:,.0f}. A step of {1000 * seconds:.1f} ms does "
        f"{achieved / GIGA:,.0f}: "
        f"**{achieved / peak:.0%} of the large products' rate**, {achieved / roof:.0%} of the "
        f"roof, {achieved / shapes:.0%} of the rate of its own products."
    )


def _step_note(size: StepSize) -> str:
    return (
        f"A step of {size.frames} frames × {size.pixels:,} drawn pixels evaluates the generator "
        f"({size.features} features, {size.depth} × {size.width}, z-dim {size.z_dim}) at "
        f"{size.points:,} points: {operations(size) / GIGA:.2f} GFLOP of matrix products, forward "
        "and backward. Encoder, likelihood and optimiser take time and are not counted as work."
    )


def _rates(bench: Bench, size: StepSize, turn: int) -> Measured:
    key = f"roofline rates {turn}"
    output = bench.scratch(f"{key}.json")
    command = bench.module(
        "benchmarks.speed.probes.rates",
        *("--size", json.dumps(vars(size)), "--matrix", bench.scale.matrix),
        *("--copy-mebibytes", bench.scale.copy_mebibytes, "-o", output),
    )
    return bench.timed(key, command, output=output, read=lambda: read_json(output))


def _machine_rows(rates: Sequence[Measured]) -> list[Series]:
    names = {"large": "large square products", "step": "products of a training step"}
    rows = [
        Series(f"{text}, {dtype}", "GFLOP/s", [rate[kind][dtype] / GIGA for rate in rates])
        for kind, text in names.items()
        for dtype in ("float32", "bfloat16")
    ]
    return [*rows, Series("copy, read and written", "GB/s", [r["copy"] / GIGA for r in rates])]


def _best(rates: Sequence[Mapping[str, Mapping[str, float]]], kind: str, dtype: str) -> float:
    return max(rate[kind][dtype] for rate in rates)
