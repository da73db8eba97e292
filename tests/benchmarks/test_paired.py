"""Differences between methods are taken on the same movies, seed by seed."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.paired import main, rows

from temporem.experiments.config import load_experiment
from temporem.experiments.plan import make_plan

EXPERIMENT = """
title: two
question: are they equal?
datasets: {data: {preset: toy}}
methods:
  plain: {settings: {method: tempor}}
  other: {settings: {method: tempor, model.prior: standard}}
  missing: {settings: {method: static}}
seeds: [0, 1]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    plan = make_plan(load_experiment(tmp_path / "experiment.yaml"), tmp_path)
    for part in plan.results:
        if part.method == "missing":
            continue
        part.folder.mkdir(parents=True)
        draw, other = np.random.default_rng(part.dataset.seed), part.method == "other"
        cross = draw.uniform(0.4, 0.8, 30)  # per movie, and the same movies for both methods
        (part.folder / "evaluation.json").write_text("{}")
        np.savez(
            part.folder / "evaluation.npz",
            movie=np.arange(30),
            **{"motion/unmasked/cross": cross - 0.1 * other},
            **{f"motion/unmasked/{name}": np.ones(30) for name in ("power", "truth_power")},
            **{"counting/angle/r2": 0.9, "counting/angle/blank_r2": 0.1},
        )
        seconds = {"processor_seconds": 20 if other else 10}
        (part.folder / "time.json").write_text(json.dumps(seconds))
    return tmp_path


def test_a_difference_that_all_movies_share_is_certain(folder: Path) -> None:
    experiment = load_experiment(folder / "experiment.yaml")
    table = rows(make_plan(experiment, folder), ["data"], [*experiment.methods], "plain")
    assert [row[1] for row in table] == ["plain", "other"]  # what is missing has no row
    _, _, seeds, mean, *differences, ratio, r2, blank = table[1]
    assert seeds == "0 1"
    assert mean == pytest.approx(0.5, abs=0.05)
    assert differences == pytest.approx([-0.1] * 5, abs=1e-4)  # though movies differ by 0.4
    assert (ratio, r2, blank) == (2.0, 0.9, 0.1)


def test_table_is_printed_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--csv", str(folder / "paired.csv")]) == 0
    assert "other" in capsys.readouterr().out
    assert (folder / "paired.csv").read_text().splitlines()[2].startswith("data,other,0 1,")
