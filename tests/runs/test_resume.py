"""Runs of every kind, killed after every state and while results are written: the same end."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import pytest

from helpers.commands import TINY_NETWORK, TINY_TRAINING
from helpers.short_search import shorten_searches
from temporem.io.settings import apply_overrides
from temporem.runs import persistence
from temporem.runs.config import RunConfig, build_config
from temporem.runs.persistence import read_metrics
from temporem.runs.pipeline import reconstruct
from temporem.runs.run import is_finished, is_run

pytestmark = pytest.mark.integration

EVERY_STATE = "checkpoint_seconds=0"
LINEAR = ("linear.components=1", "linear.iterations=2")
FEW = ("training.epochs=2", "training.start=none")
CASES: dict[str, tuple[str, ...]] = {
    "homogeneous": ("method=homogeneous",),
    "linear": ("method=linear", *LINEAR),
    "static": ("method=static", *TINY_NETWORK),
    "tempor": ("method=tempor", *TINY_TRAINING, *LINEAR),
    "one epoch": ("method=tempor", *TINY_TRAINING, *LINEAR, "training.epochs=1"),
    "pretrained": ("method=tempor", *TINY_TRAINING, "training.start=static", "training.epochs=8"),
    "table": ("method=tempor", *TINY_TRAINING, *FEW, "poses.source=refine"),
    "head": (
        *("method=static", *TINY_TRAINING, *FEW, "poses.source=estimate", "poses.effort=1"),
        *("poses.learned=head", "poses.head_images=300"),
    ),
    "refined": ("method=homogeneous", "poses.source=refine"),
    "estimated": (
        *("method=static", *TINY_TRAINING, *FEW, "poses.source=estimate", "poses.effort=2"),
    ),
}
PARTS = {"homogeneous": [], "linear": ["linear"], "tempor": ["linear", "network"]}
PARTS |= {"one epoch": ["linear", "network"]}
PARTS |= {"refined": ["poses"], "estimated": ["poses", "network"]}
PARTS |= {"head": ["poses", "head", "network"]}


class Killed(Exception):
    pass


def config(dataset: Path, *overrides: str) -> RunConfig:
    chosen = apply_overrides({"dataset": str(dataset)}, (*overrides, EVERY_STATE))
    return build_config(chosen, source="test")


def contents(run: Path) -> dict[str, object]:
    """What is in a run, without times."""
    found: dict[str, object] = {}
    for path in run.rglob("*"):
        name = str(path.relative_to(run))
        if path.suffix == ".mrc":  # its header has the time
            with mrcfile.open(path) as file:
                found[name] = file.data.tobytes()
        elif path.name == "metrics.jsonl":
            found[name] = [record | {"seconds": 0} for record in read_metrics(run)]
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


@pytest.fixture
def short(monkeypatch) -> pytest.MonkeyPatch:
    shorten_searches(monkeypatch)
    return monkeypatch


def die(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_is_killed_after_every_state_ends_as_one_that_was_not(
    name, tiny_dataset, tmp_path, short
) -> None:
    """And once more while its results are written."""
    chosen = config(tiny_dataset, *CASES[name])
    saved: list[str] = []
    deadly = False

    def save(path: Path, *state: object) -> None:
        original(path, *state)
        saved.append(path.stem)
        if deadly:
            raise Killed

    original = persistence.save_checkpoint
    short.setattr(persistence, "save_checkpoint", save)
    whole = reconstruct(chosen, tmp_path / "whole")
    expected = list(saved)
    assert list(dict.fromkeys(expected)) == PARTS.get(name, ["network"])
    assert not expected or len(expected) > 1
    saved.clear()
    run = tmp_path / "run"
    with short.context() as patch:
        patch.setattr("temporem.runs.writing.write_frame_table", die)
        deadly = True
        for _ in range(len(expected) + 1):
            with pytest.raises(Killed):
                reconstruct(chosen, run, resume=is_run(run))
        deadly = False
    assert saved == expected
    assert not is_finished(run)
    reconstruct(chosen, run, resume=True)
    assert contents(run) == contents(whole)
