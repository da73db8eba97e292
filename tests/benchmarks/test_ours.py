"""The benchmark of our own commands, with a stand-in for the commands themselves."""

import json

import pytest
from benchmarks.common import CommandFailed, Usage

from benchmarks import ours


@pytest.fixture
def commands(monkeypatch):
    """The commands that would run; each takes a second longer than the one before."""
    seen = []

    def run(command, log, *, variables):
        assert variables["OMP_NUM_THREADS"] == "1"
        seen.append(command[2:])
        if "fail" in command:
            raise CommandFailed("it failed")
        return Usage(float(len(seen)), 0.5, 2**20)

    monkeypatch.setattr(ours, "run", run)
    return seen


def measure(tmp_path, *options):
    return ours.main(["-o", str(tmp_path / "out"), "--threads", "1", *options])


def test_repetitions_run_in_turn_on_the_same_dataset(commands, tmp_path):
    assert measure(tmp_path, "--methods", "linear", "--repetitions", "2") == 0
    kinds = [command[1] for command in commands]
    assert kinds == ["--help", "simulate", "reconstruct", "evaluate", "export"] * 2
    movies, linear = (str(tmp_path / "out" / name) for name in ("movies", "linear"))
    assert commands[2][2:5] == [movies, "-o", linear]
    assert commands[3][2] == commands[4][2] == linear
    table = (tmp_path / "out" / "results.md").read_text(encoding="utf-8").splitlines()
    assert "| help | 3.50 (1.00 … 6.00) | 0.50 (0.50 … 0.50) | 1 (1 … 1) | 2 |" in table


def test_a_failure_keeps_what_was_measured(commands, tmp_path, capsys):
    assert measure(tmp_path, "--simulate", "fail") == 2
    assert "it failed" in capsys.readouterr().err
    document = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    (found,) = document["measurements"]
    assert found["repetitions"][0]["peak_memory_bytes"] == 2**20
    assert measure(tmp_path) == 2  # the folder exists
