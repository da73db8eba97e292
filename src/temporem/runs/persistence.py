"""Where a run keeps the states of its algorithms and its log, and goes on from them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from temporem.distributed import ProcessGroup
from temporem.errors import TemporemError
from temporem.io.checkpoint import NotFiniteError, load_checkpoint, save_checkpoint
from temporem.io.files import atomic_write
from temporem.io.json_file import read_json_lines
from temporem.io.state import Parts
from temporem.io.sync import sync
from temporem.runs import names
from temporem.runs.interrupt import InterruptFlag

_LINES = "log_lines"


class Resumable(Protocol):
    """A state of an algorithm, as :mod:`temporem.io.state` describes it."""

    @property
    def record(self) -> Mapping[str, Any] | None:
        """Numbers to log of the step that led to the state."""
        ...

    @property
    def finished(self) -> bool:
        """No step is left."""
        ...

    def parts(self) -> Parts:
        """The state as tensors and a document."""
        ...


S = TypeVar("S", bound=Resumable)


class RunStore:
    """The states and the log of a run.

    Args:
        folder: the run.
        processes: processes that share the run; the first writes.
        every_seconds: time between checkpoints of algorithms whose steps are short.
    """

    def __init__(self, folder: Path, processes: ProcessGroup, every_seconds: float) -> None:
        self.folder = folder
        self.processes = processes
        self.every_seconds = every_seconds
        self._lines = 0

    def open(self) -> None:
        """Make the log end where the last checkpoint was written."""
        if self.processes.is_main:
            (self.folder / names.CHECKPOINT).mkdir(exist_ok=True)
            counts = [
                load_checkpoint(file).integer(_LINES)
                for file in sorted((self.folder / names.CHECKPOINT).glob("*.safetensors"))
                if file != self.folder / names.MODEL
            ]
            self._lines = max(counts, default=0)
            self._cut_log()
        self.processes.wait()

    def follow(
        self,
        part: str,
        states: Callable[[Parts | None], Iterator[S]],
        *,
        short_steps: bool = False,
    ) -> S:
        """Run an algorithm to its end, from its last checkpoint if there is one.

        Every state is kept; of an algorithm with short steps one a while, and Ctrl-C waits for
        the end of a step.

        Args:
            part: name of the algorithm in the run.
            states: gives its states, from what was stored or from the beginning.
            short_steps: steps take a fraction of a second.

        Returns:
            The last state.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once the state is stored.
            TemporemError: the stored state is damaged; numbers are no longer finite, and the last
                checkpoint in which they were is kept.
        """
        file = self.folder / names.state_file(part)
        stored = None
        if self.processes.any(self.processes.is_main and file.is_file()):
            stored = load_checkpoint(file)
        self.processes.wait()  # before it is replaced
        state: S | None = None
        saved_at = time.monotonic()
        with InterruptFlag() if short_steps else nullcontext() as interrupted:
            for state in states(stored):
                self._log(part, state.record)
                due = not short_steps or time.monotonic() - saved_at >= self.every_seconds
                due = due or state.finished
                stop, save = self.processes.any_of(
                    bool(interrupted), due and self.processes.is_main
                )
                if stop or save:
                    self._save(file, part, state)
                    saved_at = time.monotonic()
                if stop:
                    self.processes.wait()  # who ends early has the others killed
                    raise KeyboardInterrupt
        assert state is not None
        return state

    def close(self) -> None:
        """Remove the states of a finished run."""
        if not self.processes.is_main:
            return
        for file in (self.folder / names.CHECKPOINT).glob("*.safetensors"):
            if file != self.folder / names.MODEL:
                file.unlink()
        sync(self.folder / names.CHECKPOINT)

    def _save(self, file: Path, part: str, state: Resumable) -> None:
        parts = state.parts()  # in all processes: sums over them may be part of it
        if not self.processes.is_main:
            return
        document = {**parts.document, _LINES: self._lines}
        try:
            save_checkpoint(file, replace(parts, document=document))
        except NotFiniteError as error:
            kept = f"{file} holds the last state that was" if file.exists() else "none was kept"
            raise TemporemError(
                f"{part} diverged: {error}; {kept}",
                hint="lower training.learning_rate, or set precision=float32",
            ) from None

    def _log(self, part: str, record: Mapping[str, Any] | None) -> None:
        if record is None or not self.processes.is_main:
            return
        with open(self.folder / names.METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps({"part": part, **record}) + "\n")
        self._lines += 1

    def _cut_log(self) -> None:
        """Leave as many lines as the last checkpoint knows of; later ones will come again."""
        path = self.folder / names.METRICS
        if not path.exists():
            return
        lines = path.read_bytes().splitlines(keepends=True)
        if len(lines) > self._lines or (lines and not lines[-1].endswith(b"\n")):
            with atomic_write(path) as partial:
                partial.write_bytes(b"".join(lines[: self._lines]))


def read_metrics(run: Path, part: str | None = None) -> list[dict[str, Any]]:
    """Records of a run's log, of one part or of all; empty where there is no log.

    Raises:
        TemporemError: a line is not a JSON object.
    """
    path = run / names.METRICS
    if not path.is_file():
        return []
    records = read_json_lines(path, hint="make the run again with --overwrite")
    return [record for record in records if part is None or record.get("part") == part]
