"""Files of experiments: bad ones are refused before anything is written, and say why."""

from __future__ import annotations

import math
from typing import Any

import pytest

from helpers.bad_input import refuse
from helpers.experiments import write_experiment
from temporem.experiments.config import load_experiment

HELD_OUT = {"settings": {"method": "static", "data.held_out_fraction": 0.2}}


def on_axis(*values: float) -> dict[str, Any]:
    """Datasets at some places of the axis."""
    datasets = {str(i): {"preset": "toy", "value": value} for i, value in enumerate(values)}
    return {"datasets": datasets, "quick": {}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"baseline": "stattic"}, "no method 'stattic'"),
        ({"methods": {}}, "at least one entry"),
        ({"methods": {"../up": {}}, "baseline": "../up"}, "pattern"),
        ({"methods": {"a": {"kind": "program"}}, "baseline": "a"}, "program"),
        ({"methods": {"a": {"settings": {"metod": "static"}}}, "baseline": "a"}, "method"),
        (
            {"methods": {"a": {"settings": {"seed": 1}}}, "baseline": "a"},
            "experiment sets seed itself",
        ),
        ({"datasets": {"a": {"preset": "tooy"}}, "quick": {}, "axis": None}, "tooy"),
        ({"seeds": [0, 0]}, "twice"),
        ({"seeds": []}, "seeds"),
        ({"every": 2**31}, "every"),
        ({"every": 10**30}, "64 bits"),
        ({"quick": {"only_datasets": ["SNR 7"]}}, "SNR 7"),
        ({"quick": {"seeds": [1, 1]}}, "twice"),
        ({"quick": {"seeds": []}}, "quick.seeds"),
        (on_axis(0, 1), "logarithmic"),
        (on_axis(1, 1), "two entries of datasets have the same value"),
        (on_axis(1, math.inf), "finite"),
        (
            {
                "datasets": {"a": {"preset": "toy", "settings": {"seed": 1}, "value": 1}},
                "quick": {},
            },
            "dataset a: the experiment sets seed itself",
        ),
        (
            {"methods": {"static": {"settings": {"method": "static"}}, "mean": HELD_OUT}},
            "method static: data.held_out_fraction is 0; expected 0.2, as for mean",
        ),
        (
            {"methods": {"static": HELD_OUT, "true": {"kind": "true-states"}}},
            "method true: data.held_out_fraction is 0",
        ),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_written(changes, words, tmp_path) -> None:
    file = write_experiment(tmp_path / "bad.yaml", **changes)
    assert words in refuse(tmp_path, "experiment", file, "-o", tmp_path / "out")


def test_the_first_method_is_the_baseline_unless_another_is_named(tmp_path) -> None:
    file = write_experiment(tmp_path / "e.yaml")
    assert load_experiment(file).baseline == "static"
    text = file.read_text().replace("baseline: static\n", "")
    file.write_text(text)
    experiment = load_experiment(file)
    assert experiment.baseline == next(iter(experiment.methods))
    assert experiment.compared_with("mean").baseline == "mean"
    said = refuse(tmp_path, "experiment", file, "-o", tmp_path / "out", "--baseline", "x")
    assert "no method is named 'x'; expected " in said


def test_unknown_experiments_and_peers_are_refused(tmp_path) -> None:
    assert "7bcq" in refuse(tmp_path, "experiment", "7bqc")
    assert "no such folder" in refuse(tmp_path, "experiment", "toy", "--peer", tmp_path / "x")
    assert "distinct" in refuse(tmp_path, "experiment", "toy", "--seeds", "1", "1")
