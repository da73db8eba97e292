"""Storage of a run's states and log, and resuming from them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from temporem.distributed import ProcessGroup
from temporem.errors import TemporemError
from temporem.io.checkpoint import NotFiniteError, load_checkpoint, save_checkpoint
from temporem.io.files import atomic_write, disk_error
from temporem.io.json_file import read_json_lines
from temporem.io.leftovers import adopt_leftovers
from temporem.io.outputs import require_no_links
from temporem.io.state import Parts
from temporem.io.sync import sync
from temporem.runs import names
from temporem.runs.interrupt import InterruptFlag

_LINES = "log_lines"


class Resumable(Protocol):
    """Complete state of an algorithm, from which it continues without loss.

    Each class also has ``from_parts``, the inverse of :meth:`parts`.
    """

    @property
    def record(self) -> Mapping[str, Any] | None:
        """Numbers to log for the last step."""
        ...

    @property
    def finished(self) -> bool:
        """True if no step is left."""
        ...

    @property
    def sound(self) -> bool:
        """False while the algorithm seems to diverge; such a state is not stored."""
        ...

    def parts(self) -> Parts:
        """The state as tensors and a document."""
        ...


S = TypeVar("S", bound=Resumable)


class RunStore:
    """The states and the log of a run.

    A state is on disk before the next step begins; the log lines that led to it are on disk before
    the state. After a crash or a power cut, run and log continue from the last state.

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
        self._unsynced = False

    def open(self) -> None:
        """Make the log end where the last checkpoint was written.

        Raises:
            TemporemError: a checkpoint is damaged.
        """
        if self.processes.is_main:
            adopt_leftovers(self.folder, deep=True)
            if not self._checkpoints.is_dir():
                self._checkpoints.mkdir()
                sync(self.folder)
            counts = [load_checkpoint(file).integer(_LINES) for file in self._state_files()]
            self._cut_log(max(counts, default=0))
        self.processes.wait()

    def follow(
        self,
        part: str,
        states: Callable[[S | None], Iterator[S]],
        load: Callable[[Parts], S],
        *,
        short_steps: bool = False,
    ) -> S:
        """Run an algorithm to its end, from its last checkpoint if there is one.

        Every sound state is stored. With short steps, one is stored every ``every_seconds``, and
        Ctrl-C waits for the end of a step.

        Args:
            part: name of the algorithm in the run.
            states: yields the states that follow a stored one, or all of them for None.
            load: makes a state from stored parts.
            short_steps: a step takes a fraction of a second.

        Returns:
            The last state.

        Raises:
            KeyboardInterrupt: after Ctrl-C; the last sound state is stored.
            TemporemError: the stored state is damaged; the disk is full or fails; numbers are no
                longer finite, and the last checkpoint in which they were is kept.
        """
        file = self.folder / names.state_file(part)
        stored: S | None = None
        if self.processes.any(self.processes.is_main and file.is_file()):
            stored = load(load_checkpoint(file))
        self.processes.wait()  # before it is replaced
        state, saved_at = stored, time.monotonic()
        with InterruptFlag() if short_steps else nullcontext() as interrupted:
            for state in states(stored):
                if state is stored:
                    continue  # a finished one, given again
                self._log(part, state.record)
                due = not short_steps or time.monotonic() - saved_at >= self.every_seconds
                due = due or state.finished
                stop, save = self.processes.any_of(
                    bool(interrupted), due and self.processes.is_main
                )
                if (stop or save) and state.sound:
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
        files = self._state_files()
        for file in files:
            file.unlink()
        if files:
            sync(self._checkpoints)

    @property
    def _checkpoints(self) -> Path:
        return self.folder / names.CHECKPOINT

    @property
    def _metrics(self) -> Path:
        return self.folder / names.METRICS

    def _state_files(self) -> list[Path]:
        require_no_links([self._checkpoints])
        files = sorted(self._checkpoints.glob("[!.]*.safetensors"))
        kept = [self.folder / names.MODEL, self.folder / names.HEAD]
        return [file for file in files if file not in kept]

    def _save(self, file: Path, part: str, state: Resumable) -> None:
        parts = state.parts()  # in all processes: sums over them may be part of it
        if not self.processes.is_main:
            return
        if self._unsynced:
            with self._log_errors_named():  # some disks say only here that they are full
                sync(self._metrics)
                sync(self.folder)
            self._unsynced = False
        document = {**parts.document, _LINES: self._lines}
        try:
            save_checkpoint(file, replace(parts, document=document))
        except NotFiniteError as error:
            raise self._diverged(part, str(error), state.record) from None

    def _log(self, part: str, record: Mapping[str, Any] | None) -> None:
        if record is None or not self.processes.is_main:
            return
        for name, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise self._diverged(part, f"{name} is {value}", record)
        with self._log_errors_named(), open(self._metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps({"part": part, **record}) + "\n")
        self._lines += 1
        self._unsynced = True

    @contextmanager
    def _log_errors_named(self) -> Iterator[None]:
        """Turn an error of writing the log into one line that names it."""
        try:
            yield
        except OSError as error:
            raise disk_error(error, self._metrics) from error

    def _diverged(self, part: str, what: str, record: Mapping[str, Any] | None) -> TemporemError:
        """Make the error about numbers that are not finite: where, and which state is kept."""
        file = self.folder / names.state_file(part)
        counts = {k: v for k, v in (record or {}).items() if isinstance(v, int)}
        where = ", ".join(f"{name} {value}" for name, value in counts.items())
        return TemporemError(
            f"{part} diverged{f' at {where}' if where else ''}: {what}",
            expected="finite numbers",
            hint=(f"{file} holds the last state that was finite; " if file.exists() else "")
            + "look at the images and the CTF of the dataset; a network may need a lower "
            "training.learning_rate or precision=float32",
        )

    def _cut_log(self, n: int) -> None:
        """Keep the n lines up to the last checkpoint; the repeated steps write the others again."""
        path = self._metrics
        require_no_links([path])
        if path.exists() and not path.is_file():
            raise TemporemError(f"{path} is not a file", hint="remove it")
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        kept = [line for line in lines[:n] if line.endswith(b"\n")]
        if kept != lines:
            with atomic_write(path) as partial:
                partial.write_bytes(b"".join(kept))
        self._lines = len(kept)


def read_metrics(run: Path, part: str | None = None) -> list[dict[str, Any]]:
    """Read the records of a run's log, of one part or of all; empty without a log.

    Raises:
        TemporemError: a line is not a JSON object.
    """
    path = run / names.METRICS
    if not path.is_file():
        return []
    records = read_json_lines(path, hint="make the run again with --overwrite")
    return [record for record in records if part is None or record.get("part") == part]
