"""How soon ours is as good as cryoDRGN is after so many epochs."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed.bench import Bench, CaseResult, Measured, read_json, usages
from benchmarks.speed.cases.training import peer_usage
from benchmarks.speed.series import Series, interleave


class Score(NamedTuple):
    """The two measures that are to be reached, whole box."""

    fsc_area: float
    motion_correlation: float

    def reaches(self, other: Score) -> bool:
        """Whether neither is worse."""
        return all(ours >= theirs for ours, theirs in zip(self, other, strict=True))


def measure(bench: Bench) -> CaseResult:
    """Whole commands on the same data, scored on the same frames by the same evaluation."""
    programs: dict[str, Callable[[int], Measured]] = {
        label: partial(_ours, bench, label) for label in _candidates(bench)
    }
    peer = f"cryodrgn, {bench.scale.target_epochs} epochs"
    programs[peer] = lambda _: _peer(bench)
    found = interleave(programs, bench.repetitions, once=(peer,))
    target = Score(*found[peer][0]["score"])
    rows, reached = [], {}
    for label, items in found.items():
        score = Score(*items[0]["score"])
        good = label == peer or score.reaches(target)
        row = Series(
            label if good else f"{label} (below the target)",
            "s",
            [item["seconds"] for item in items],
            usages(items),
            group="quality" if good else "",
            peer=label == peer,
            less_is_better=True,
            columns={"FSC area": score.fsc_area, "motion correlation": score.motion_correlation},
        )
        rows.append(row)
        if good and label != peer:
            reached[label] = statistics.median(row.values)
    return CaseResult(
        "Time to cryoDRGN's quality", rows, _notes(bench, found[peer][0], peer, reached)
    )


def _candidates(bench: Bench) -> dict[str, list[object]]:
    """What of ours is tried, and its options."""
    candidates: dict[str, list[object]] = {
        "linear": ["--method", "linear"],
        "linear, 2 components": ["--method", "linear", "--components", 2],
    }
    for epochs in bench.scale.tempor_epochs:
        settings = ["--set", f"training.epochs={epochs}"]
        candidates[f"tempor, {epochs} epochs"] = ["--method", "tempor", *settings]
    return candidates


def _ours(bench: Bench, label: str, turn: int) -> Measured:
    key = f"quality {label} {turn}"
    output = bench.scratch(key)
    options = _candidates(bench)[label]
    command = bench.temporem("reconstruct", bench.movies, "-o", output, "--seed", 0, *options)
    found = bench.timed(key, command, output=output, keep=turn == 0)
    if turn > 0:  # the same seed gives the same volumes
        return found
    score = bench.timed(
        f"quality {label} score",
        bench.temporem("evaluate", output, "--every", bench.scale.every[1], "--overwrite"),
        read=lambda: {"score": read_score(output)},
    )
    return {**found, "score": score["score"]}


def _peer(bench: Bench) -> Measured:
    epochs = bench.scale.target_epochs
    output = bench.scratch("quality cryodrgn")
    found: Measured = {}
    if bench.peer_training is None:
        options = ("--z-dim", 1, "--epochs", epochs, "--checkpoint", epochs)
        found = bench.timed(
            "quality cryodrgn",
            bench.peer_module("train", bench.movies, "-o", output, *options),
            output=output,
            read=lambda: peer_usage(read_json(output / "peer.json")),
            keep=True,
        )
    else:  # a folder of links: the evaluation is written beside them
        output.mkdir(exist_ok=True)
        link = output / "train"
        link.unlink(missing_ok=True)
        link.symlink_to(bench.peer_training.absolute() / "train")
    directory = output / f"cryodrgn-epoch-{epochs}"
    score = bench.timed(
        "quality cryodrgn score",
        bench.peer_module(
            "evaluate",
            *(output, bench.movies, "--epoch", epochs, "--every", bench.scale.every[1]),
            "--overwrite",
        ),
        read=lambda: {
            "score": read_score(directory),
            "epoch_seconds": read_json(directory / "times.json")["training_seconds"],
        },
    )
    if bench.peer_training is not None:
        record = bench.peer_training / "peer.json"
        found = (
            peer_usage(read_json(record))
            if record.is_file() and read_json(record)["options"]["epochs"] == epochs
            else {"seconds": score["epoch_seconds"]}
        )
    return {**found, "score": score["score"]}


def read_score(directory: Path) -> Score:
    """From ``evaluation.json``."""
    evaluation = read_json(directory / "evaluation.json")
    area = evaluation["fsc"]["unmasked"]["auc"]["mean"]
    return Score(area, evaluation["motion"]["unmasked"]["correlation"])


def _notes(bench: Bench, peer: Measured, name: str, reached: dict[str, float]) -> list[str]:
    notes = [
        "Whole commands; scores of the whole box, seed 0. The peer is run once. Which of ours is "
        "the shortest is known only once the truth is; `linear` is what its defaults give.",
    ]
    if bench.peer_training is not None:
        notes.append(
            f"cryodrgn was **not trained in this run**: {bench.peer_training}. Its times are of "
            "another day, whatever the machine was and did then."
        )
    if "cpu_seconds" not in peer:
        notes.append("Its seconds are the sum of its epochs, without start: no peer.json is there.")
    if not reached:
        return [*notes, f"**Nothing of ours is as good as {name} in both measures.**"]
    best = min(reached, key=reached.__getitem__)
    gain = peer["seconds"] / reached[best]
    notes.append(
        f"Shortest command that is at least as good as {name} in both: **{best}, "
        f"{reached[best]:.1f} s, {gain:.1f} times sooner** than {peer['seconds']:.0f} s."
    )
    return notes
