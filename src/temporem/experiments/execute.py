"""Run one part of an experiment at a time, and resume it after an interruption."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from temporem.errors import TemporemError
from temporem.evaluation.api import evaluate, frames_to_evaluate
from temporem.evaluation.storage import SUMMARY_NAME, load_evaluation, save_evaluation
from temporem.experiments.plan import DatasetPart, ResultPart
from temporem.experiments.true_states import TrueStateVolumes
from temporem.frames.readers import read_dataset
from temporem.frames.settings import DataSettings
from temporem.io.files import atomic_write, fresh_directory
from temporem.progress import Progress
from temporem.runs.pipeline import reconstruct
from temporem.runs.run import is_finished, is_run
from temporem.simulation.config import SimulationConfig
from temporem.simulation.in_memory import load_motion, moves_alike
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import read_truth_of
from temporem.structures.motions.base import Motion

TIME_NAME = "time.json"
"""File of a result with the times of its reconstruction."""

_EVALUATION = 0.1  # part of the time of a result


class Datasets:
    """Simulates the datasets of an experiment, one after another.

    It keeps the last motion for datasets with the same one, because a path between structures takes
    minutes.

    Args:
        structures: folder to look for structure files in first.
    """

    def __init__(self, structures: Path | None) -> None:
        self._structures = structures
        self._last: tuple[SimulationConfig, Motion] | None = None

    def make(self, part: DatasetPart, progress: Progress) -> None:
        """Simulate a dataset unless it exists."""
        if part.folder.is_dir():
            return
        part.folder.parent.mkdir(parents=True, exist_ok=True)
        motion = self._motion(part.config, progress)
        simulate(part.config, part.folder, motion=motion, progress=progress)

    def _motion(self, config: SimulationConfig, progress: Progress) -> Motion:
        if self._last is None or not moves_alike(self._last[0], config):
            self._last = config, load_motion(config, self._structures, progress=progress)
        return self._last[1]


def make_result(part: ResultPart, peer: Path | None, progress: Progress) -> None:
    """Reconstruct and evaluate; continue after an interruption.

    Args:
        part: the method and its dataset.
        peer: virtual environment of programs.
        progress: receives the progress of the part.

    Raises:
        TemporemError: bad input, or a program that fails.
        KeyboardInterrupt: after Ctrl-C, once a reconstruction has written a checkpoint.
    """
    if part.finished:
        return
    part.folder.parent.mkdir(parents=True, exist_ok=True)
    if part.entry.kind == "run":
        _run(part, progress)
    elif part.entry.kind == "program":
        _program(part, peer)
    else:
        _true_states(part, progress)


def _run(part: ResultPart, progress: Progress) -> None:
    assert part.config is not None
    if not is_run(part.folder) or not is_finished(part.folder):
        dataset = str(part.dataset.folder.resolve())
        config = part.config.model_copy(update={"dataset": dataset})
        resume, clock = is_run(part.folder), RunClock()
        told = progress.part(0, 1 - _EVALUATION)
        reconstruct(config, part.folder, resume=resume, progress=told)
        if not resume:  # the time before an interruption is not known
            clock.write(part.folder)
    evaluation = evaluate(
        part.folder,
        part.dataset.folder,
        every=part.every,
        align=part.align,
        progress=progress.part(1 - _EVALUATION, 1, "evaluating"),
    )
    save_evaluation(evaluation, part.folder)


def _true_states(part: ResultPart, progress: Progress) -> None:
    dataset = read_dataset(part.dataset.folder)
    truth = read_truth_of(dataset)
    with fresh_directory(part.folder) as folder:
        volumes = TrueStateVolumes(dataset, truth, DataSettings())
        evaluation = evaluate(volumes, truth, every=part.every, align=part.align, progress=progress)
        save_evaluation(evaluation, folder)


def _program(part: ResultPart, peer: Path | None) -> None:
    """Run an external program, and write its output to a file beside its results."""
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
            except (OSError, ValueError) as error:  # ValueError: the name contains a null
                why = error.strerror if isinstance(error, OSError) else error
                raise TemporemError(
                    f"method {part.method}: cannot run {command[0]!r} ({why})"
                ) from None
        if code or not (folder / SUMMARY_NAME).is_file():
            lines = (folder / "program.log").read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "nothing")
            raise TemporemError(
                f"method {part.method}: {os.path.basename(command[0])} ended with exit code {code}"
                f"{'' if code else f' and left no {SUMMARY_NAME}'}; its last line: {last.strip()}"
            )
        _require_evaluation(folder, part)


def _require_evaluation(folder: Path, part: ResultPart) -> None:
    """Raise a TemporemError if a program evaluated other frames than the other methods."""
    try:
        evaluation = load_evaluation(folder)
    except TemporemError as error:
        raise TemporemError(f"method {part.method}: {error}") from None
    dataset = read_dataset(part.dataset.folder)
    if not evaluation.frames.same_as(frames_to_evaluate(dataset, every=part.every)):
        raise TemporemError(
            f"method {part.method}: its evaluation covers other frames",
            expected=f"those of temporem evaluate --every {part.every}",
        )
    if evaluation.settings.align != part.align:
        raise TemporemError(
            f"method {part.method}: its evaluation aligns poses differently from the experiment",
            expected=f"temporem evaluate --align {part.align}",
        )


def _filled(word: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        word = word.replace("{" + name + "}", value)
    return word


class RunClock:
    """Measures wall-clock and processor time of this process."""

    def __init__(self) -> None:
        self._wall, self._processor = time.monotonic(), time.process_time()

    def write(self, folder: Path) -> None:
        """Write the times since the clock was made."""
        document = {
            "seconds": time.monotonic() - self._wall,
            "processor_seconds": time.process_time() - self._processor,
            "threads": torch.get_num_threads(),
        }
        with atomic_write(folder / TIME_NAME) as partial:
            partial.write_text(json.dumps(document), encoding="utf-8")
