"""How long a user waits for ``--help``."""

from __future__ import annotations

import statistics
from functools import partial

from benchmarks.speed.bench import Bench, CaseResult, Measured, usages
from benchmarks.speed.series import Series, interleave

TARGET_SECONDS = 0.5


def measure(bench: Bench) -> CaseResult:
    """Whole commands."""
    commands = {"temporem --help": bench.temporem("--help")}
    if bench.environment is not None:
        commands["cryodrgn --help"] = bench.environment.cryodrgn("--help")

    def once(label: str, turn: int) -> Measured:
        return bench.timed(f"startup {label} {turn}", commands[label])

    found = interleave({label: partial(once, label) for label in commands}, bench.repetitions)
    rows = [
        Series(
            label,
            "s",
            [item["seconds"] for item in items],
            usages(items),
            group="help",
            peer=label.startswith("cryodrgn"),
            less_is_better=True,
        )
        for label, items in found.items()
    ]
    ours = statistics.median(rows[0].values)
    verdict = "reached" if ours < TARGET_SECONDS else "missed"
    return CaseResult("Start-up", rows, [f"Target below {TARGET_SECONDS} s: {verdict}."])
