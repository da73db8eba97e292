"""``temporem kinetics`` from a run to its report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import command, settings, succeed
from temporem.io.star import read_star
from temporem.kinetics.of_run import measurements_of_run
from temporem.kinetics.storage import load_kinetics
from temporem.report.collect import collect
from temporem.report.kinetics_plot import kinetics_section
from temporem.runs.run import load_run

pytestmark = pytest.mark.integration

SMALL = ("movies=14", "frames_per_movie=8", "box=16", "pixel_size_angstrom=8", "snr=1")


@pytest.fixture(scope="module")
def linear_run(tmp_path_factory) -> Path:
    """A linear model of 14 movies. Each test may add kinetics to it."""
    folder = tmp_path_factory.mktemp("kinetics")
    succeed("simulate", "toy-free", "-o", folder / "movies", *settings(SMALL))
    options = ("--method", "linear", "--components", 2, *settings(("linear.iterations=1",)))
    succeed("reconstruct", folder / "movies", "-o", folder / "run", *options)
    return folder / "run"


def test_a_run_gets_kinetics_that_its_report_shows(linear_run: Path) -> None:
    said = succeed("kinetics", linear_run, "--samples", 20, "--overwrite")
    assert "14 movies" in said
    folder = linear_run / "kinetics"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("kinetics.json", "kinetics.svg", "curves.csv"),
        *("path.star", "frames.star", "forecast.star"),
    }
    facts = load_kinetics(linear_run)
    assert facts is not None
    assert facts.along == "path"
    path = read_star(folder / "path.star")["path"]
    assert {"temporemX", "temporemEnergyKT", "temporemLatent1", "temporemLatent2"} <= set(path)
    forecast = read_star(folder / "forecast.star")["forecast"]
    assert (forecast.floats("temporemLow") <= forecast.floats("temporemHigh")).all()
    _, runs = collect([linear_run])
    section = kinetics_section(runs)
    assert section.words
    assert len(section.drawings) == 1


def test_a_result_is_replaced_only_when_asked(linear_run: Path) -> None:
    options = ("--samples", 20, "--states", 1, "--overwrite", "--json")
    printed = succeed("kinetics", linear_run, *options)
    assert json.loads(printed)["states_given"] is True
    again = command("kinetics", linear_run, "--samples", 20)
    assert again.code == 2
    assert "--overwrite" in again.err


def test_a_single_latent_can_be_asked(linear_run: Path) -> None:
    """On one axis, its information is what the frames say of it alone."""
    run = load_run(linear_run)
    one, _ = measurements_of_run(run, "z1")
    direction, _ = measurements_of_run(run, "2,0")
    np.testing.assert_allclose(one.information, direction.information)
    assert one.unit == "s"
    # A frame alone says less than it does with its neighbours.
    assert run.latent_covariance is not None
    alone = 1 / (1 + one.information)
    assert np.median(alone) >= np.median(run.latent_covariance[:, 0, 0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--along", "z9"), "2 latents"),
        (("--along", "up"), "no direction"),
        (("--states", "9"), "--states 9"),
        (("--basins", "a,b"), "--basins a,b"),
    ],
)
def test_bad_options_are_refused(linear_run: Path, options: tuple[str, ...], said: str) -> None:
    result = command("kinetics", linear_run, "--overwrite", *options)
    assert result.code == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1


def test_networks_are_refused(tiny_runs: dict[str, Path]) -> None:
    result = command("kinetics", tiny_runs["tempor"])
    assert result.code == 2
    assert "--method linear" in result.err


def test_a_damaged_result_is_one_line(linear_run: Path) -> None:
    succeed("kinetics", linear_run, "--samples", 20, "--states", 1, "--overwrite")
    file = linear_run / "kinetics/kinetics.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    document["basins"] = 3
    file.write_text(json.dumps(document), encoding="utf-8")
    result = command("report", linear_run, "-o", linear_run.parent / "report.html")
    assert result.code == 2
    assert "kinetics.json" in result.err
