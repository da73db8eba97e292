"""One part of an experiment at a time, from where it was left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from temporem.errors import TemporemError
from temporem.evaluation.api import evaluate, frames_to_evaluate
from temporem.evaluation.storage import SUMMARY_NAME, load_evaluation, save_evaluation
from temporem.experiments.plan import DatasetPart, ResultPart
from temporem.experiments.true_states import TrueStateVolumes
from temporem.frames.readers import read_dataset
from temporem.io.files import atomic_write, fresh_directory
from temporem.runs.config import DataConfig
from temporem.runs.pipeline import reconstruct
from temporem.runs.run_files import is_finished, is_run
from temporem.simulation.config import SimulationConfig
from temporem.simulation.simulate import load_motion, moves_alike, simulate
from temporem.simulation.truth import read_truth_of
from temporem.structures.motions.base import Motion

TIME_NAME = "time.json"

Update = Callable[[int, int], None]
"""Called with how much of a part is done, and of how much."""


class Datasets:
    """Simulates an experiment's datasets, one after another.

    The motion of the last is kept for those that move alike: a path between structures takes
    minutes.

    Args:
        structures: folder to look for structure files in first.
    """

    def __init__(self, structures: Path | None) -> None:
        self._structures = structures
        self._last: tuple[SimulationConfig, Motion] | None = None

    def make(self, part: DatasetPart, update: Update) -> None:
        """Simulate a dataset unless it is there."""
        if part.folder.is_dir():
            return
        part.folder.parent.mkdir(parents=True, exist_ok=True)
        motion = self._motion(part.config, update)
        simulate(part.config, part.folder, motion=motion, progress=update)

    def _motion(self, config: SimulationConfig, update: Update) -> Motion:
        if self._last is None or not moves_alike(self._last[0], config):
            self._last = config, load_motion(config, self._structures, progress=update)
        return self._last[1]


def make_result(part: ResultPart, peer: Path | None, update: Update) -> None:
    """Reconstruct and evaluate, going on with what an interruption has left.

    Raises:
        TemporemError: bad input, or a program that fails.
        KeyboardInterrupt: after Ctrl-C; a reconstruction has written its checkpoint then.
    """
    if part.finished:
        return
    part.folder.parent.mkdir(parents=True, exist_ok=True)
    if part.entry.kind == "run":
        _run(part, update)
    elif part.entry.kind == "program":
        _program(part, peer)
    else:
        _true_states(part, update)


def _run(part: ResultPart, update: Update) -> None:
    assert part.config is not None
    if not is_run(part.folder) or not is_finished(part.folder):
        dataset = str(part.dataset.folder.resolve())
        config = part.config.model_copy(update={"dataset": dataset})
        resume, clock = is_run(part.folder), _Clock()

        def progress(stage: str, done: int, total: int, terms: dict[str, float]) -> None:
            update(done, total)

        reconstruct(config, part.folder, resume=resume, progress=progress)
        if not resume:  # what it took before it was stopped is not known
            clock.write(part.folder)
    evaluation = evaluate(
        part.folder,
        part.dataset.folder,
        every=part.every,
        align=part.align,
        progress=update,
    )
    save_evaluation(evaluation, part.folder)


def _true_states(part: ResultPart, update: Update) -> None:
    dataset = read_dataset(part.dataset.folder)
    truth = read_truth_of(dataset)
    with fresh_directory(part.folder) as folder:
        volumes = TrueStateVolumes(dataset, truth, DataConfig())
        evaluation = evaluate(volumes, truth, every=part.every, align=part.align, progress=update)
        save_evaluation(evaluation, folder)


def _program(part: ResultPart, peer: Path | None) -> None:
    """Run somebody else's program; its output goes to a file beside what it writes."""
    with fresh_directory(part.folder) as folder:
        words = {
            "dataset": str(part.dataset.folder.resolve()),
            "output": str(folder.resolve()),
            "seed": str(part.dataset.seed),
            "every": str(part.every),
            "peer": str(peer and peer.absolute()),
            "python": sys.executable,
        }
        command = [_filled(word, words) for word in part.entry.program]
        with (folder / "program.log").open("w") as log:
            try:
                code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
            except (OSError, ValueError) as error:  # the latter of a name that no program can have
                why = error.strerror if isinstance(error, OSError) else error
                raise TemporemError(
                    f"method {part.method}: cannot run {command[0]!r} ({why})"
                ) from None
        if code or not (folder / SUMMARY_NAME).is_file():
            lines = (folder / "program.log").read_text(errors="replace").split("\n")
            said = next((line for line in reversed(lines) if line.strip()), "nothing")
            raise TemporemError(
                f"method {part.method}: {os.path.basename(command[0])} ended with exit code {code}"
                f"{'' if code else f' and left no {SUMMARY_NAME}'}; its last line: {said.strip()}"
            )
        _require_evaluation(folder, part)


def _require_evaluation(folder: Path, part: ResultPart) -> None:
    """Raise a TemporemError unless a program has evaluated the frames that others are."""
    try:
        evaluation = load_evaluation(folder)
    except TemporemError as error:
        raise TemporemError(f"method {part.method}: {error}") from None
    dataset = read_dataset(part.dataset.folder)
    if not evaluation.frames.same_as(frames_to_evaluate(dataset, every=part.every)):
        raise TemporemError(
            f"method {part.method}: its evaluation is of other frames",
            expected=f"those of temporem evaluate --every {part.every}",
        )
    if evaluation.settings.align != part.align:
        raise TemporemError(
            f"method {part.method}: its evaluation aligns otherwise than the experiment",
            expected=f"as temporem evaluate --align {part.align}",
        )


def _filled(word: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        word = word.replace("{" + name + "}", value)
    return word


class _Clock:
    """Wall-clock and processor time of this process from now on."""

    def __init__(self) -> None:
        self._wall, self._processor = time.monotonic(), time.process_time()

    def write(self, folder: Path) -> None:
        """Write what has passed, as a program may write its own."""
        document = {
            "seconds": time.monotonic() - self._wall,
            "processor_seconds": time.process_time() - self._processor,
            "threads": torch.get_num_threads(),
        }
        with atomic_write(folder / TIME_NAME) as partial:
            partial.write_text(json.dumps(document), encoding="utf-8")
