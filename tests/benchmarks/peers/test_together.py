"""All methods on one dataset: nothing is done twice, and one failure stops no other."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from benchmarks.common import CommandFailed, Environment, Usage
from benchmarks.peers.cryodrgn import CryoDRGN
from benchmarks.peers.protocol import Choice
from benchmarks.peers.recovar import Recovar
from benchmarks.peers.together import Row, Task, run_all, table

from benchmarks.peers import together


@pytest.fixture
def task(tmp_path):
    return Task(tmp_path / "movies", tmp_path / "all", every=5, z_dim=2, seed=3)


@pytest.fixture
def commands(monkeypatch):
    """Commands that were run; each leaves what the real one would."""
    done = []

    def evaluation(folder, correlation):
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "motion": {"unmasked": {"correlation": {"value": correlation}}},
            "fsc": {"unmasked": {"auc": {"value": 0.9}}},
            "latents": {"angle": {"r2": {"value": 0.4}}, "shift": {"r2": {"value": 0.6}}},
        }
        (folder / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")

    def run(command, log):
        words = [str(word) for word in command[2:]]
        if "static" in words:
            raise CommandFailed("static broke")
        done.append(words)
        match words[:2]:
            case ["temporem", "reconstruct"]:
                Path(words[words.index("-o") + 1]).mkdir()
            case ["temporem", "evaluate"]:
                evaluation(Path(words[2]), 0.5)
            case ["benchmarks.peers", "run"]:
                output = Path(words[words.index("-o") + 1])
                evaluation(output, 0.7)
                evaluation(output / "other", 0.6)
                (output / "time.json").write_text(json.dumps(asdict(Usage(7, 6, 2**20))))
        return Usage(20.0, 10.0, 2**21)

    monkeypatch.setattr(together, "run", run)
    return done


def whole(self):
    """Stand for an environment that holds its program."""


def test_a_row_for_each_result_and_nothing_twice(task, commands, tmp_path, monkeypatch):
    monkeypatch.setattr(Environment, "require", whole)
    monkeypatch.setattr(Recovar, "choices", {"default": Choice()})
    monkeypatch.setattr(Recovar, "models", lambda self, training: {".": "last", "other": "first"})
    peers = {"recovar": Recovar(tmp_path)}
    left_out = run_all(task, peers, ("linear", "static"))
    assert (left_out.absent, left_out.failed) == ([], ["static: static broke"])
    with (task.folder / "table.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["linear", "recovar default", "recovar default (other)"]
    assert float(rows["linear"]["seconds"]) == 20
    assert float(rows["linear"]["peak_memory_mib"]) == 2
    assert float(rows["recovar default"]["processor_seconds"]) == 6
    assert float(rows["recovar default (other)"]["motion_correlation"]) == 0.6
    assert float(rows["recovar default"]["latent_r2"]) == 0.5
    before = len(commands)
    run_all(task, peers, ("linear",))
    assert len(commands) == before


def test_options_reach_the_commands(task, commands, tmp_path, monkeypatch):
    monkeypatch.setattr(Environment, "require", whole)
    run_all(task, {"cryodrgn": CryoDRGN(tmp_path)}, ("tempor",))
    reconstruct, evaluate, default, candidate = commands
    assert reconstruct[-4:] == ["--seed", "3", "--z-dim", "2"]
    assert evaluate[-2:] == ["--every", "5"]
    assert default[default.index("--epochs") + 1] == "20"
    assert "--lr 1e-3" in next(word for word in candidate if word.startswith("--arguments="))


def test_programs_that_are_not_installed_are_named(task, commands, tmp_path):
    left_out = run_all(task, {"recovar": Recovar(tmp_path / "none")}, ())
    assert left_out.failed == commands == []
    assert "no virtual environment with recovar" in left_out.absent[0]


def test_programs_that_are_not_verified_are_named(task, commands, tmp_path, monkeypatch):
    monkeypatch.setattr(Environment, "require", whole)
    left_out = run_all(task, {"recovar": Recovar(tmp_path)}, ())
    assert left_out.failed == commands == []
    assert left_out.absent == ["recovar is not verified yet; see benchmarks/README.md"]


def test_the_best_motion_comes_first_and_nothing_measured_is_a_dash():
    rows = [Row("a", 1, 1, 1, None, 0.5, None), Row("b", 1, 1, 1, 0.4, 0.5, 0.1)]
    lines = table(rows).splitlines()
    assert lines[2].startswith("| b | 0.400 | 0.500 | 0.100 | 1 |")
    assert lines[3].startswith("| a | – | 0.500 | – |")
