"""Volumes decoded a second, files written included."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.peers.cryodrgn.commands import decode_command
from benchmarks.speed.bench import (
    Bench,
    CaseResult,
    Measured,
    rates_by_difference,
    stack_header,
    usages,
)
from benchmarks.speed.series import Series, interleave

OURS, PEER = "temporem export (tempor)", "cryodrgn eval_vol"


def measure(bench: Bench) -> CaseResult:
    """Two commands of each program; their difference leaves the start out."""
    header = stack_header(bench.movies)
    fewer, more = (min(n, header.frames) for n in bench.scale.decoded)
    names: dict[str, Callable[[Bench, int, int], Measured]] = {OURS: _ours}
    if bench.environment is not None:
        names[PEER] = _peer
    programs = {
        (name, n): partial(one, bench, n) for name, one in names.items() for n in (fewer, more)
    }
    found = interleave(programs, bench.repetitions)
    without_start, whole = [], []
    for name in names:
        peer, few, many = name == PEER, found[name, fewer], found[name, more]
        rates = rates_by_difference(few, many)
        without_start.append(
            Series(f"{name}, without start", "volumes/s", rates, group="decoding", peer=peer)
        )
        whole.append(
            Series(
                f"{name}, whole command of {more}",
                "volumes/s",
                [item["count"] / item["seconds"] for item in many],
                usages(many),
                group="command",
                peer=peer,
            )
        )
    return CaseResult(f"Decoding of {header.box}³ volumes", [*without_start, *whole])


def _ours(bench: Bench, n: int, turn: int) -> Measured:
    key = f"decoding temporem {n} volumes {turn}"
    output = bench.scratch(key)
    command = bench.temporem("export", bench.short_run, "-o", output, "--frames", f"0-{n - 1}")
    return bench.timed(key, command, output=output, read=lambda: {"count": n})


def _peer(bench: Bench, n: int, turn: int) -> Measured:
    assert bench.environment is not None
    key = f"decoding cryodrgn {n} volumes {turn}"
    output, latents = bench.scratch(key), _write_latents(bench.work / f"z-{n}.txt", n)
    pixel_size = stack_header(bench.movies).pixel_size_angstrom
    training = bench.short_peer_training
    command = decode_command(bench.environment, training, 1, latents, output, pixel_size)
    return bench.timed(key, command, output=output, read=lambda: {"count": n})


def _write_latents(path: Path, n: int) -> Path:
    """Latents to decode; which they are does not matter to the time."""
    path.write_text("".join(f"{i / n - 0.5}\n" for i in range(n)), encoding="utf-8")
    return path
