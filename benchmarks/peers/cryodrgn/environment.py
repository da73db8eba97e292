"""cryoDRGN's own virtual environment, and its commands as child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from temporem.errors import TemporemError

VERSION = "4.3.1"
DEFAULT_PATH = Path(".venv-cryodrgn")
TORCH = "torch==2.13.0"
CONSTRAINTS = Path(__file__).with_name("constraints.txt")

# Builds of torch for the CPU alone: PyPI's for Linux brings gigabytes of CUDA.
_CPU_BUILDS = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class Usage:
    """What a child process used.

    Attributes:
        seconds: wall-clock time from start to end.
        cpu_seconds: processor time, of all its threads, user and system.
        peak_memory_bytes: largest resident set. Linux starts counting with what the process that
            starts the child has itself, so that one should be small.
    """

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Environment:
    """A virtual environment that has cryoDRGN."""

    path: Path

    def require(self) -> None:
        """Raise a TemporemError unless cryoDRGN is here, in the version that is measured."""
        found = [
            folder.name.removeprefix("cryodrgn-").removesuffix(".dist-info")
            for folder in self.path.glob("lib/python*/site-packages/cryodrgn-*.dist-info")
        ]
        if not found or not (self.path / "bin" / "cryodrgn").is_file():
            raise TemporemError(
                f"{self.path} is no virtual environment with cryodrgn",
                hint="make one with: python -m benchmarks.peers.cryodrgn install "
                f"--environment {self.path}",
            )
        if found != [VERSION]:
            raise TemporemError(
                f"{self.path} has cryodrgn {', '.join(found)}",
                expected=VERSION,
                hint="name another --environment",
            )

    def cryodrgn(self, *arguments: object) -> list[str]:
        """Command line of a cryoDRGN command."""
        return [str(self.path.absolute() / "bin" / "cryodrgn"), *map(str, arguments)]

    def python(self, code: str, *arguments: object) -> list[str]:
        """Command line of a few lines of Python."""
        return [str(self.path.absolute() / "bin" / "python"), "-c", code, *map(str, arguments)]


def install(path: Path) -> None:
    """Make a virtual environment with cryoDRGN and all that it needs, in pinned versions.

    Nothing happens where it is already there. A folder is not removed when pip fails; running the
    command again goes on where it stopped.

    Raises:
        TemporemError: another version is there, or pip fails.
    """
    environment = Environment(path)
    if (path / "bin" / "cryodrgn").is_file():
        environment.require()
        report(f"{path} has cryodrgn {VERSION} already")
        return
    for command in install_commands(path):
        report(" ".join(command))
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            raise TemporemError(f"`{' '.join(command)}` failed", hint="see its messages above")
    environment.require()


def install_commands(path: Path) -> list[list[str]]:
    """What :func:`install` runs."""
    pip = [str(path / "bin" / "python"), "-m", "pip", "install"]
    return [
        [sys.executable, "-m", "venv", str(path)],
        [*pip, "--no-deps", "--index-url", _CPU_BUILDS, TORCH],
        [*pip, "--constraint", str(CONSTRAINTS), f"cryodrgn=={VERSION}", TORCH],
    ]


def run(
    command: Sequence[str],
    log: Path,
    *,
    on_line: Callable[[str], None] | None = None,
    variables: Mapping[str, str] | None = None,
    patience_seconds: float = 0,
) -> Usage:
    """Run a child process to its end.

    Args:
        command: program and arguments.
        log: file that gets all that the child prints; one that exists is appended to.
        on_line: called with every line as it comes.
        variables: of the child's environment; by default ours, without what would have another
            environment's Python see our packages.
        patience_seconds: what a child that has children of its own gets to end them, when this
            process is stopped.

    Raises:
        TemporemError: the child fails; names its last line and the log.
    """
    if variables is None:
        variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    unattended = {"PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"}  # no window may open
    last, started = "", time.monotonic()
    with (
        log.open("a", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**variables, **unattended},
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                last = line.strip() or last
                if on_line is not None:
                    on_line(line)
            # Not wait(), which tells nothing of memory.
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            _stop(process, patience_seconds)
            raise
    if process.returncode != 0:
        raise TemporemError(
            f"`{Path(command[0]).name} {' '.join(command[1:3])}` ended with code "
            f"{process.returncode}: {last}",
            hint=f"see {log}",
        )
    kibibytes = used.ru_maxrss  # bytes on macOS, KiB elsewhere
    return Usage(
        seconds=time.monotonic() - started,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_memory_bytes=kibibytes if sys.platform == "darwin" else 1024 * kibibytes,
    )


def _stop(process: subprocess.Popen[str], patience_seconds: float) -> None:
    if patience_seconds > 0:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_seconds)
    process.kill()


def report(text: str) -> None:
    """Say what is going on, on standard error."""
    print(text, file=sys.stderr, flush=True)
