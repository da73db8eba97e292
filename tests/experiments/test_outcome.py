"""Results of an experiment: the numbers are those of the evaluations, and all panels are drawn."""

from __future__ import annotations

import json

import pytest

from helpers.experiments import numbers
from temporem.evaluation.compare import compare
from temporem.evaluation.storage import load_evaluation
from temporem.experiments.config import load_experiment
from temporem.experiments.outcome import write_outcome
from temporem.experiments.plan import make_plan

_GAIN = "Gain: Motion correlation, whole box"


def test_the_table_holds_the_numbers_of_the_evaluations(finished) -> None:
    folder, file = finished
    plan = make_plan(load_experiment(file), folder)
    rows = numbers(folder)
    for part in plan.results:
        summary = json.loads((part.folder / "evaluation.json").read_text())
        expected = summary["fsc"]["unmasked"]["auc"]["value"]
        (row,) = (
            row
            for row in rows
            if (row["dataset"], row["method"], int(row["seed"]), row["measure"])
            == (part.dataset.name, part.method, part.dataset.seed, "FSC area, whole box")
        )
        assert float(row["value"]) == pytest.approx(expected)


def test_measures_of_states_are_in_the_table_and_drawn(finished) -> None:
    folder, file = finished
    part = make_plan(load_experiment(file), folder).of("SNR 5", "static")[0]
    summary = json.loads((part.folder / "evaluation.json").read_text())
    latents, states = summary["latent_states"], summary["states"]["unmasked"]
    expected = {
        "State FSC area, whole box": states["auc"]["value"],
        "State resolution, whole box (Å)": states["resolution_angstrom"]["value"],
        "State neighbourhood overlap": latents["neighbourhood_overlap"]["value"],
        "State silhouette": latents["silhouette"]["value"],
    }
    found = {
        row["measure"]: float(row["value"])
        for row in numbers(folder)
        if (row["dataset"], row["method"], row["seed"]) == ("SNR 5", "static", "0")
        and row["measure"] in expected
    }
    assert found == pytest.approx(expected)
    for name in ("states", "manifold", "latents"):
        assert (folder / "figures" / f"SNR-5-{name}.svg").is_file()


def test_gains_are_paired_with_the_baseline_of_the_same_seed(finished) -> None:
    folder, file = finished
    plan = make_plan(load_experiment(file), folder)
    first, second = (plan.of("SNR 1", name)[1].folder for name in ("static", "true states"))
    comparison = compare(load_evaluation(first), load_evaluation(second))
    expected = comparison.gain("motion", "correlation", "unmasked")
    (row,) = (
        row
        for row in numbers(folder)
        if (row["dataset"], row["method"], row["seed"], row["measure"])
        == ("SNR 1", "true states", "1", _GAIN)
    )
    values = [float(row[key]) for key in ("value", "low", "high")]
    assert values == pytest.approx(list(expected))


def test_every_panel_is_a_picture_and_on_the_page(finished) -> None:
    folder, _ = finished
    page = (folder / "index.html").read_text()
    pictures = sorted(path.stem for path in (folder / "figures").glob("*.png"))
    assert "overview" in pictures
    assert pictures == sorted(path.stem for path in (folder / "figures").glob("*.svg"))
    assert page.count("<svg") == len(pictures)
    assert "http" not in page.replace("http://www.w3.org", "")  # it needs nothing else
    assert "A note." in page
    text = (folder / "results.md").read_text()
    assert "## SNR 1" in text
    assert "±" in text


def test_one_seed_has_an_interval_over_movies(finished, tmp_path) -> None:
    folder, file = finished
    experiment = load_experiment(file).quickly()
    write_outcome(experiment, make_plan(experiment, folder), tmp_path, ["A quick look."])
    row = next(r for r in numbers(tmp_path) if r["measure"] == _GAIN)
    low, high = (f"{float(row[key]):.3f}".replace("-", "−") for key in ("low", "high"))
    text = (tmp_path / "results.md").read_text()
    assert f"[{low}, {high}]" in text
    assert "A quick look." in text
    assert float(next(r["value"] for r in numbers(tmp_path) if r["measure"] == "Wall time (s)")) > 0
