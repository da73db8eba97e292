"""What a case is given, and what it gives back."""

from __future__ import annotations

import json
import re
import shutil
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.peers.cryodrgn.environment import Environment, Usage, report, run
from benchmarks.speed.record import Record
from benchmarks.speed.scale import Scale
from benchmarks.speed.series import Series, gains

from temporem.errors import TemporemError

Measured = dict[str, Any]

_PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class CaseResult:
    """A table and what is to be said of it."""

    title: str
    rows: Sequence[Series]
    notes: Sequence[str] = ()

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        ratios = gains(self.rows)
        rows = [row.document(gain) for row, gain in zip(self.rows, ratios, strict=True)]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}


@dataclass(frozen=True)
class StackHeader:
    """What the first bytes of an MRC stack say."""

    frames: int
    box: int
    pixel_size_angstrom: float


@dataclass(frozen=True)
class Bench:
    """Measures commands as child processes, each once, and keeps what they took.

    Attributes:
        record: of all measurements.
        work: folder for data and runs.
        scale: how much is done.
        repetitions: rounds.
        variables: environment of the children.
        environment: that of cryoDRGN; None to measure without.
        given_dataset: the dataset of all cases, None to simulate one.
        peer_training: a finished training of cryoDRGN on it, None to train.
    """

    record: Record
    work: Path
    scale: Scale
    repetitions: int
    variables: Mapping[str, str] = field(repr=False)
    environment: Environment | None
    given_dataset: Path | None = None
    peer_training: Path | None = None

    # --- command lines ---

    def temporem(self, *arguments: object) -> list[str]:
        """One of our commands."""
        return self.module("temporem", *arguments)

    def module(self, name: str, *arguments: object) -> list[str]:
        """A module of ours, run as a program."""
        return [sys.executable, "-m", name, *map(str, arguments)]

    def peer_module(self, command: str, *arguments: object) -> list[str]:
        """A command of ``benchmarks.peers.cryodrgn``."""
        assert self.environment is not None
        where = ("--environment", self.environment.path.absolute())
        return self.module("benchmarks.peers.cryodrgn", command, *arguments, *where)

    # --- measuring ---

    def timed(
        self,
        key: str,
        command: Sequence[str],
        *,
        output: Path | None = None,
        read: Callable[[], Measured] = dict,
        keep: bool = False,
    ) -> Measured:
        """Run a command once, ever.

        Args:
            key: name of the measurement; what it took before is returned where it is known.
            command: program and arguments.
            output: what it writes; removed before, as it may be left from an interruption, and
                afterwards.
            read: further numbers that it left behind; they replace those of the process.
            keep: leave ``output``.

        Returns:
            ``command``, ``seconds``, ``cpu_seconds``, ``peak_memory_bytes`` and what ``read`` says.

        Raises:
            TemporemError: the command fails.
        """

        def work() -> Measured:
            self._remove(output)
            usage = self._run(key, command)
            found = {"command": list(command), **asdict(usage), **read()}
            if not keep:
                self._remove(output)
            return found

        return self.record.measure(key, work)

    def artefact(self, path: Path, finished: Path, command: Sequence[str]) -> Path:
        """Something that measurements need and that is not measured; made where it is not there."""
        if not finished.exists():
            self._remove(path)
            self._run(path.name, command)
        return path

    def scratch(self, key: str) -> Path:
        """A name in the work folder for what a measurement writes."""
        return self.work / _slug(key)

    def _run(self, key: str, command: Sequence[str]) -> Usage:
        report(key)
        logs = self.work / "logs"
        logs.mkdir(exist_ok=True)
        log = logs / f"{_slug(key)}.log"
        usage = run(command, log, variables=self.variables, patience_seconds=_PATIENCE_SECONDS)
        report(f"  {usage.seconds:.1f} s")
        return usage

    @staticmethod
    def _remove(path: Path | None) -> None:
        if path is not None and path.is_dir():
            shutil.rmtree(path)
        elif path is not None:
            path.unlink(missing_ok=True)

    # --- what several cases need ---

    @property
    def movies(self) -> Path:
        """The dataset that all cases work on."""
        if self.given_dataset is not None:
            return self.given_dataset
        path = self.work / "movies"
        command = self.temporem("simulate", *self.scale.simulation, "-o", path, "--seed", 0)
        return self.artefact(path, path, command)

    @property
    def short_run(self) -> Path:
        """A run of ``tempor``, of an epoch."""
        path = self.work / "short-run"
        options = ("-o", path, "--seed", 0, "--set", "training.epochs=1")
        command = self.temporem("reconstruct", self.movies, *options)
        return self.artefact(path, path / "frames.star", command)

    @property
    def short_peer_training(self) -> Path:
        """A training of cryoDRGN, of an epoch."""
        path = self.work / "short-peer-training"
        options = ("--z-dim", 1, "--epochs", 1, "--checkpoint", 1)
        command = self.peer_module("train", self.movies, "-o", path, *options)
        return self.artefact(path, path / "peer.json", command)


def usages(measurements: Sequence[Measured]) -> list[Usage]:
    """What the commands of measurements took, where it is known."""
    names = [field.name for field in fields(Usage)]
    known = [found for found in measurements if all(name in found for name in names)]
    return [Usage(*(found[name] for name in names)) for found in known]


def rates_by_difference(fewer: Sequence[Measured], more: Sequence[Measured]) -> list[float]:
    """Items a second from pairs of commands on different numbers of items: the start cancels.

    Measurements have ``count`` and ``seconds``. A pair whose difference drowns in noise is left
    out: more took no longer.
    """
    pairs = [
        (b["count"] - a["count"], b["seconds"] - a["seconds"])
        for a, b in zip(fewer, more, strict=True)
    ]
    return [count / seconds for count, seconds in pairs if seconds > 0]


def read_json(path: Path) -> Any:
    """A file that a child wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def stack_header(dataset: Path) -> StackHeader:
    """Size of the image stack of a dataset (its reader imports what must not be imported here).

    Raises:
        TemporemError: there is none.
    """
    path = dataset / "particles.mrcs"
    try:
        with path.open("rb") as file:
            header = file.read(44)
        columns, _, sections = struct.unpack("<3i", header[:12])
        (extent,) = struct.unpack("<f", header[40:])  # of the box, Å
        return StackHeader(sections, columns, extent / columns)
    except (OSError, struct.error, ZeroDivisionError):
        raise TemporemError(
            f"{path} is not a readable image stack", expected="a dataset of temporem simulate"
        ) from None


def _slug(key: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", key.lower()).strip("-")
