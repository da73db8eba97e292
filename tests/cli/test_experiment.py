"""The command ``experiment``: it continues, owns its folder, and shows what others did."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.bad_input import refuse
from helpers.commands import command, succeed
from helpers.experiments import SMALL, copying, numbers, write_experiment
from temporem.errors import TemporemError
from temporem.experiments import execute
from temporem.experiments.config import load_experiment
from temporem.experiments.plan import make_plan
from temporem.io.files import held
from temporem.progress import Progress

TINY: dict[str, Any] = {
    "datasets": {"SNR 5": {"preset": "toy", "settings": {**SMALL, "snr": 5.0}}},
    "methods": {
        "mean": {"settings": {"method": "homogeneous"}},
        "true states": {"kind": "true-states"},
    },
    "baseline": "mean",
    "seeds": [0],
    "axis": None,
    "quick": {},
}


def failing(*arguments: object) -> str:
    """What is said of an experiment of which a method fails, in one line."""
    result = command("experiment", *arguments)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    return result.err


pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """Folder of an experiment with one method that was run."""
    folder = tmp_path_factory.mktemp("tiny") / "out"
    file = write_experiment(folder.parent / "tiny.yaml", **TINY)
    said = succeed("experiment", file, "-o", folder)
    assert f"Page: {folder / 'index.html'}" in said
    assert said.splitlines()[-1].startswith("Next: ")
    assert "true states: back-projection with known states" in (folder / "index.html").read_text()
    return folder


def test_results_of_a_program_stand_beside_ours(tiny, tmp_path) -> None:
    plan = make_plan(load_experiment(write_experiment(tmp_path / "tiny.yaml", **TINY)), tiny)
    peer = {"kind": "program", "program": copying(plan.results[0].folder)}
    file = write_experiment(
        tmp_path / "e.yaml", **TINY | {"methods": {**TINY["methods"], "peer": peer}}
    )
    common = ("experiment", file, "-o", tiny, "--quick")
    succeed(*common)
    assert "Left out because --peer was not given: peer" in (tiny / "results.md").read_text()
    succeed(*common, "--peer", sys.prefix)
    assert "with all epochs, also in a quick look: peer" in (tiny / "results.md").read_text()
    rows = {(r["method"], r["measure"]): r["value"] for r in numbers(tiny)}
    assert rows["peer", "PSNR (dB)"] == rows["mean", "PSNR (dB)"]
    assert rows["peer", "Processor time (s)"] == ""  # only what the program says itself
    assert float(rows["mean", "Processor time (s)"]) > 0


def test_a_method_that_fails_is_named_and_the_others_are_shown(tiny, tmp_path) -> None:
    broken = {"kind": "program", "program": ["{python}", "-c", "raise SystemExit('no GPU here')"]}
    methods = {"broken": broken, **TINY["methods"]}
    file = write_experiment(tmp_path / "e.yaml", **TINY | {"methods": methods})
    for _ in range(2):  # a failure is not taken for a result
        (tiny / "results.md").unlink()
        said = failing(file, "-o", tiny, "--peer", sys.prefix)
        text = (tiny / "results.md").read_text()
        assert "method broken: " in said
        assert "no GPU here" in said
        assert "broken failed: " in text
        assert "| mean (1) |" in text


def test_only_one_command_at_a_time_works_on_an_experiment(tiny) -> None:
    with held(tiny):
        said = failing(tiny.parent / "tiny.yaml", "-o", tiny)
    assert "is being written by another process" in said


def test_other_folders_are_left_alone(tmp_path) -> None:
    (tmp_path / "thesis.tex").touch()
    said = refuse(tmp_path, "experiment", "toy", "--quick", "-o", tmp_path)
    assert "is not an experiment" in said


def test_progress_is_on_one_scale_that_never_goes_back(tmp_path, monkeypatch) -> None:
    """Also where parts of a result begin at 0 each."""
    shown: list[tuple[float, str]] = []

    @contextmanager
    def bar(_description: str) -> Iterator[Progress]:
        yield Progress(lambda fraction, note: shown.append((fraction, note)))

    def stages(part, _peer, progress) -> None:
        for done in (0, 2, 4, 0, 1, 4):
            progress(done, 4, "a stage")
        raise TemporemError(f"{part.method} ends")

    monkeypatch.setattr("temporem.cli.experiment.progress_bar", bar)
    monkeypatch.setattr(execute, "make_result", stages)
    file = write_experiment(tmp_path / "small.yaml")
    assert "ends" in failing(file, "-o", tmp_path / "out", "--quick")
    fractions = [fraction for fraction, _ in shown]
    assert len(set(fractions)) > 6
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert "SNR 5, seed 0: static  a stage" in {note for _, note in shown}
