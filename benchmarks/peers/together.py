"""Runs our methods and every peer on one dataset: quality against time.

FOLDER gets a run or an OUT of each row, a log of each command, ``table.txt`` and ``table.csv``.
Every command is a child process, one at a time, as a user would start it. A row that is complete
is kept; one that was stopped goes on.
"""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import CommandFailed, Usage, run, say
from benchmarks.peers.protocol import RESULT, Peer
from temporem.errors import TemporemError

OURS = ("static", "tempor", "linear")
NETWORKS = ("static", "tempor")


@dataclass(frozen=True)
class Row:
    """One line of the table; None for what was not measured.

    Attributes:
        method: ours, or ``PEER TRAINING``, with the result's name in brackets.
        seconds, processor_seconds, peak_memory_mib: of the reconstruction or training alone.
        motion_correlation: over the whole box.
        fsc_area: over the whole box.
        latent_r2: mean over the true parameters.
    """

    method: str
    seconds: float
    processor_seconds: float
    peak_memory_mib: float
    motion_correlation: float | None
    fsc_area: float | None
    latent_r2: float | None


@dataclass(frozen=True)
class Task:
    """What all rows share.

    Attributes:
        dataset: a simulated dataset.
        folder: where everything goes.
        every: evaluate every N-th frame of each movie.
        z_dim: latent dimension of networks and peers.
        seed: of every reconstruction.
    """

    dataset: Path
    folder: Path
    every: int
    z_dim: int
    seed: int


@dataclass(frozen=True)
class LeftOut:
    """Rows that the table lacks, each with its reason."""

    absent: list[str]
    failed: list[str]


def run_all(task: Task, peers: Mapping[str, Peer], ours: Sequence[str] = OURS) -> LeftOut:
    """Run what is missing, and write the table anew after every row.

    Args:
        task: dataset, folder and options.
        peers: programs by name; those that are not installed, or have no choices, are left out.
        ours: our methods.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    left_out = LeftOut([], [])
    parts: dict[str, Callable[[], list[Row]]] = {
        method: partial(our_rows, task, method) for method in ours
    }
    for name, peer in peers.items():
        try:
            peer.environment.require()
        except TemporemError as error:
            say(f"left out: {error}")
            left_out.absent.append(str(error))
            continue
        if not peer.choices:
            left_out.absent.append(f"{name} is not verified yet; see benchmarks/README.md")
            continue
        for choice in peer.choices:
            parts[f"{name} {choice}"] = partial(peer_rows, task, name, peer, choice)
    for label, part in parts.items():
        try:
            rows += part()
        except (CommandFailed, TemporemError) as error:  # the others do not depend on it
            say(f"{label} failed: {error}")
            left_out.failed.append(f"{label}: {error}")
        write_table(task.folder, rows)
    return left_out


def our_rows(task: Task, method: str) -> list[Row]:
    """Reconstruct and evaluate with one of our methods, as far as that is not done."""
    output, time = task.folder / method, task.folder / f"{method}-time.json"
    log = task.folder / f"{method}.log"
    if not time.is_file():
        words: list[object] = ["--seed", task.seed]
        words += ["--z-dim", task.z_dim] if method in NETWORKS else []
        # A resumed run would have the time of its last part alone.
        words += ["--overwrite"] if output.is_dir() else []
        say(f"{method}; log: {log}")
        command = ["temporem", "reconstruct", task.dataset, "-o", output, "--method", method]
        usage = run([sys.executable, "-m", *command, *words], log)
        time.write_text(json.dumps(asdict(usage), indent=2), encoding="utf-8")
    if not (output / "evaluation.json").is_file():
        command = ["temporem", "evaluate", output, "--truth", task.dataset, "--every", task.every]
        run([sys.executable, "-m", *command], log)
    return [row_of(method, time, output)]


def peer_rows(task: Task, name: str, peer: Peer, choice: str) -> list[Row]:
    """Train and score a peer with ``run``, as far as that is not done; a row for each result."""
    output, label = task.folder / f"{name}-{choice}", f"{name} {choice}"
    training = peer.choices[choice].training(task.z_dim, task.seed)
    folders = list(peer.models(training))
    if not all((output / folder / "evaluation.json").is_file() for folder in folders):
        words: list[object] = ["-o", output, "--environment", peer.environment.path, "--resume"]
        words += ["--z-dim", task.z_dim, "--seed", task.seed, "--every", task.every]
        words += [] if training.epochs is None else ["--epochs", training.epochs]
        words += ["--also", *training.also] if training.also else []
        words += [f"--arguments={shlex.join(training.more)}"]
        log = task.folder / f"{name}-{choice}.log"
        say(f"{label}; log: {log}")
        command = ["benchmarks.peers", "run", name, task.dataset, *words]
        run([sys.executable, "-m", *command], log)
    time = output / "time.json"
    return [
        row_of(label if folder == RESULT else f"{label} ({folder})", time, output / folder)
        for folder in folders
    ]


def row_of(label: str, time: Path, evaluation: Path) -> Row:
    """Read a row from the files that were left."""
    usage = Usage(**json.loads(time.read_text(encoding="utf-8")))
    found = json.loads((evaluation / "evaluation.json").read_text(encoding="utf-8"))
    latents = [entry["r2"]["value"] for entry in (found["latents"] or {}).values()]
    return Row(
        label,
        usage.seconds,
        usage.processor_seconds,
        usage.peak_memory_bytes / 2**20,
        _value(found["motion"], "unmasked", "correlation"),
        _value(found["fsc"], "unmasked", "auc"),
        sum(latents) / len(latents) if latents and None not in latents else None,
    )


def _value(section: dict[str, Any] | None, place: str, score: str) -> float | None:
    if section is None:
        return None
    value: float | None = section[place][score]["value"]
    return value


def write_table(folder: Path, rows: Sequence[Row]) -> None:
    """Write ``table.txt`` and ``table.csv``; each replaces the earlier one whole."""
    for name in ("table.txt", "table.csv"):
        unfinished = folder / f".{name}.partial"
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            if name == "table.csv":
                writer = csv.DictWriter(file, [field.name for field in fields(Row)])
                writer.writeheader()
                writer.writerows(asdict(row) for row in rows)
            else:
                file.write(table(rows) + "\n")
        unfinished.replace(folder / name)


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, the best motion first."""
    lines = [
        "| method | motion | FSC area | latent R² | wall (s) | processor (s) | memory (MiB) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in sorted(rows, key=lambda row: -(row.motion_correlation or 0)):
        scores = (row.motion_correlation, row.fsc_area, row.latent_r2)
        cells = ["–" if score is None else f"{score:.3f}" for score in scores]
        cells += [f"{row.seconds:.0f}", f"{row.processor_seconds:.0f}"]
        cells += [f"{row.peak_memory_mib:.0f}"]
        lines.append(f"| {row.method} | {' | '.join(cells)} |")
    return "\n".join(lines)
