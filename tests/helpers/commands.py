"""The command line in this process."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from temporem.cli.main import main

TINY_SIMULATION = ("movies=5", "frames_per_movie=4", "box=16", "pixel_size_angstrom=8", "snr=3")
TINY_TRAINING = (
    "model.encoder_width=16",
    "model.rnn_width=8",
    "model.generator_width=16",
    "training.epochs=4",
    "precision=float32",
    "training.frames_per_step=10",
)


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


def command(*arguments: object) -> Result:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Result(code, out.getvalue(), err.getvalue())


def succeed(*arguments: object) -> str:
    """Run a command that must succeed; returns what it prints."""
    result = command(*arguments)
    assert result.code == 0, result.err
    return result.out


def settings(values: tuple[str, ...]) -> list[str]:
    """``--set`` for each of some ``key=value`` texts."""
    return [part for value in values for part in ("--set", value)]
