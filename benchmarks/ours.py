"""Times temporem's own commands: wall time, processor time and peak memory.

    python -m benchmarks.ours -o FOLDER                              # simulates 7bcq: 1,000 frames
    python -m benchmarks.ours -o FOLDER --simulate toy --repetitions 1
    python -m benchmarks.ours -o FOLDER --dataset DATASET --methods linear tempor

Each command is a child process, one at a time, as a user would start it. A repetition runs all
commands once, so that a slow hour slows all of them. FOLDER gets ``results.json`` (every single
measurement), ``results.md`` (medians and ranges), logs, and the runs of the last repetition.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.common import CommandFailed, Usage, positive, run, say

METHODS = ("homogeneous", "linear", "static", "tempor")
EVERY = 10  # evaluation looks at every 10th frame of a movie
EXPORTED = "0-9"  # rows that are exported

BAD_INPUT, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit code: 0, 2 where a command fails, 130 after Ctrl-C."""
    options = parse(arguments)
    try:
        options.output.mkdir(parents=True)
        measure(options)
    except FileExistsError:
        say(f"error: {options.output} exists; choose another name")
        return BAD_INPUT
    except CommandFailed as error:
        say(f"error: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        say(f"interrupted; {options.output} holds what was measured")
        return INTERRUPTED
    return 0


def measure(options: argparse.Namespace) -> None:
    """Run all commands in turn and write the results anew after every one."""
    folder = options.output
    variables = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    found: dict[str, list[Usage]] = {}
    machine = describe_machine(options.threads)
    for repetition in range(options.repetitions):
        for label, command, output in commands(options):
            say(f"{repetition + 1}/{options.repetitions}  {label}")
            if output is not None:
                shutil.rmtree(output, ignore_errors=True)
            log = folder / f"{label.replace(' ', '-')}.log"
            usage = run([sys.executable, "-m", *command], log, variables=variables)
            found.setdefault(label, []).append(usage)
            write_results(folder, machine, commands(options), found)
    print((folder / "results.md").read_text(encoding="utf-8"))


Command = tuple[str, list[str], Path | None]
"""A label, the words after ``python -m``, and the folder that the command writes."""


def commands(options: argparse.Namespace) -> list[Command]:
    """The commands of one repetition, in their order."""
    folder = options.output
    settings = [word for value in options.set for word in ("--set", value)]
    chosen: list[tuple[str, list[object], Path | None]] = [("help", ["--help"], None)]
    dataset = options.dataset
    if dataset is None:
        dataset = folder / "movies"
        chosen.append(("simulate", ["simulate", options.simulate, "-o", dataset], dataset))
    for method in options.methods:
        output = folder / method
        words = ["reconstruct", dataset, "-o", output, "--method", method, "--seed", 0, *settings]
        chosen.append((f"reconstruct {method}", words, output))
    for method in options.methods:
        words = ["evaluate", folder / method, "--every", EVERY]
        chosen.append((f"evaluate {method}", words, None))
    for method in options.methods:
        output = folder / f"volumes-{method}"
        words = ["export", folder / method, "--frames", EXPORTED, "-o", output]
        chosen.append((f"export {method}", words, output))
    return [(name, ["temporem", *map(str, words)], output) for name, words, output in chosen]


def write_results(
    folder: Path,
    machine: dict[str, Any],
    commands: Sequence[Command],
    found: dict[str, list[Usage]],
) -> None:
    """Write ``results.json`` and ``results.md``; each replaces the earlier one whole."""
    lines = {label: " ".join(command) for label, command, _ in commands}
    measurements = [
        {"label": label, "command": lines[label], "repetitions": [asdict(use) for use in uses]}
        for label, uses in found.items()
    ]
    document = {"machine": machine, "measurements": measurements}
    about = "; ".join(f"{name} {value}" for name, value in machine.items())
    texts = {
        "results.json": json.dumps(document, indent=2),
        "results.md": f"{about}\n\n{table(found)}\n",
    }
    for name, text in texts.items():
        partial = folder / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / name)


def table(found: dict[str, list[Usage]]) -> str:
    """A Markdown table of medians, with lowest and highest value in brackets."""
    rows = [
        "| command | wall (s) | processor (s) | peak memory (MiB) | repetitions |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for label, uses in found.items():
        cells = [
            median_and_range([use.seconds for use in uses]),
            median_and_range([use.processor_seconds for use in uses]),
            median_and_range([use.peak_memory_bytes / 2**20 for use in uses], digits=0),
        ]
        rows.append(f"| {label} | {' | '.join(cells)} | {len(uses)} |")
    return "\n".join(rows)


def median_and_range(values: Sequence[float], *, digits: int = 2) -> str:
    """``median (lowest … highest)``; the median alone of a single value."""
    median = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):.{digits}f} … {max(values):.{digits}f})"


def describe_machine(threads: int) -> dict[str, Any]:
    """Processor, memory, versions and commit; the load tells whether other work was running."""
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ours", description="Time and memory of temporem's commands."
    )
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder to write")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--dataset", type=Path, metavar="DIR", help="a simulated dataset")
    data.add_argument(
        "--simulate", default="7bcq", metavar="PRESET", help="preset to simulate (default: 7bcq)"
    )
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of all methods")
    add("--repetitions", type=positive, default=3, metavar="N", help="default: 3")
    add("--threads", type=positive, default=os.cpu_count() or 1, metavar="N", help="OpenMP threads")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
