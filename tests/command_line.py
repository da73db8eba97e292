"""Plugin of pytest: the command line in this process, and a small dataset and runs made with it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from temporem.cli.main import main

TINY_SIMULATION = ("movies=5", "frames_per_movie=4", "box=16", "pixel_size_angstrom=8", "snr=3")
TINY_TRAINING = (
    "model.encoder_width=16",
    "model.rnn_width=8",
    "model.generator_width=16",
    "model.generator_features=16",
    "training.epochs=4",
    "training.precision=float32",
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


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory) -> Path:
    """Five movies of four frames, with truth. Not to be changed."""
    path = tmp_path_factory.mktemp("tiny") / "movies"
    succeed("simulate", "toy", "-o", path, *settings(TINY_SIMULATION))
    return path


@pytest.fixture(scope="session")
def tiny_runs(tiny_dataset, tmp_path_factory) -> dict[str, Path]:
    """An evaluated run of every method, one movie held out. Not to be changed."""
    folder, runs = tmp_path_factory.mktemp("runs"), {}
    for method in ("static", "tempor", "homogeneous"):
        runs[method] = folder / method
        options = ("-o", runs[method], "--method", method)
        held_out = ("data.held_out_fraction=0.2",)
        succeed("reconstruct", tiny_dataset, *options, *settings((*TINY_TRAINING, *held_out)))
        succeed("evaluate", runs[method])
    return runs
