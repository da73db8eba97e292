"""Measured child processes and other programs' environments, shared by ``ours`` and ``peers``.

Imports nothing heavy: Linux counts the memory of the process that starts a command as the
command's first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from temporem.errors import TemporemError

CPU_BUILDS = "https://download.pytorch.org/whl/cpu"  # PyPI's torch for Linux brings 5 GB of CUDA


@dataclass(frozen=True)
class Usage:
    """Resources that one command took.

    Attributes:
        seconds: wall-clock time.
        processor_seconds: user and system time of all its threads and children.
        peak_memory_bytes: largest resident set.
    """

    seconds: float
    processor_seconds: float
    peak_memory_bytes: int


class CommandFailed(Exception):
    """A command that ended with an error; the message holds its last line and its log."""


def run(
    command: Sequence[object], log: Path, *, variables: Mapping[str, str] | None = None
) -> Usage:
    """Run a command to its end and append its output to a log.

    Args:
        command: program and arguments.
        log: file for standard output and standard error.
        variables: the command's environment; None for that of this process.

    Raises:
        CommandFailed: the command cannot start or ends with a code other than 0.
    """
    words = [str(word) for word in command]
    started = time.monotonic()
    with log.open("ab") as file:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=variables
            )
        except OSError as error:
            raise CommandFailed(f"cannot run {words[0]}: {error.strerror}") from None
        try:
            _, status, used = os.wait4(process.pid, 0)  # wait() does not report memory
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing printed")
        name = " ".join([Path(words[0]).name, *words[1:4]])
        raise CommandFailed(f"`{name} …` ended with code {process.returncode}: {last}; see {log}")
    return Usage(
        seconds=time.monotonic() - started,
        processor_seconds=used.ru_utime + used.ru_stime,
        peak_memory_bytes=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds one pinned program and its dependencies."""

    path: Path
    package: str
    version: str

    def require(self) -> None:
        """Raise a TemporemError unless the program is here, whole, in the pinned version."""
        pattern = f"lib/python*/site-packages/{self.package}-*.dist-info"
        found = [folder.name.split("-")[1] for folder in self.path.glob(pattern)]
        if not found or not (self.path / "bin" / self.package).is_file():
            raise TemporemError(
                f"{self.path} is no virtual environment with {self.package}",
                hint=f"python -m benchmarks.peers install {self.package} "
                f"--environment {self.path} makes one",
            )
        if found != [f"{self.version}.dist"]:
            has = ", ".join(name.removesuffix(".dist") for name in found)
            raise TemporemError(f"{self.path} has {self.package} {has}", expected=self.version)

    def install(self, *requirements: str) -> None:
        """Make the environment; a second call goes on where pip stopped.

        Args:
            requirements: packages whose builds without CUDA come from PyTorch's own index.
        """
        constraints = Path(__file__).with_name(f"{self.package}-constraints.txt")
        pip = [self.path / "bin" / "python", "-m", "pip", "install"]
        pinned = f"{self.package}=={self.version}"
        commands: list[list[object]] = [[sys.executable, "-m", "venv", self.path]]
        if requirements:
            commands.append([*pip, "--no-deps", "--index-url", CPU_BUILDS, *requirements])
        commands.append([*pip, "--constraint", constraints, pinned, *requirements])
        for command in commands:
            say(" ".join(map(str, command)))
            done = subprocess.run([*map(str, command)], stdout=sys.stderr, check=False)
            if done.returncode != 0:
                raise TemporemError(f"installing {pinned} failed", hint="see the messages above")
        self.require()

    def run(self, program: str, *arguments: object, log: Path) -> Usage:
        """Run a program of ``bin/``, which sees none of our packages and opens no window."""
        hidden = ("PYTHONPATH", "PYTHONHOME")
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        command = [self.path.absolute() / "bin" / program, *arguments]
        return run(command, log, variables={**variables, "MPLBACKEND": "Agg"})


def say(text: str) -> None:
    """Tell on standard error what goes on."""
    print(text, file=sys.stderr, flush=True)


def positive(text: str) -> int:
    """Read a whole number of 1 or more from a command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value
