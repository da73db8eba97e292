"""The commands ``validate`` and ``compare`` on runs without a truth."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import TINY_NETWORK, command, settings, succeed
from temporem.frames.readers import read_dataset
from temporem.io.mrc import read_volume
from temporem.runs.half_models import half_models
from temporem.runs.held_out import movies_of_run
from temporem.runs.run import load_run

pytestmark = pytest.mark.integration

SIMULATION = ("movies=24", "frames_per_movie=6", "box=16", "pixel_size_angstrom=8", "snr=3")
HOLD_OUT = "data.held_out_fraction=0.25"


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> Path:
    """Movies whose truth is gone: nothing here can read it."""
    path = tmp_path_factory.mktemp("unknown") / "movies"
    succeed("simulate", "toy-free", "-o", path, *settings(SIMULATION))
    shutil.rmtree(path / "truth")
    return path


@pytest.fixture(scope="module")
def runs(movies, tmp_path_factory) -> dict[str, Path]:
    """A run of a model that moves, of one volume, and of a poor network."""
    folder = tmp_path_factory.mktemp("runs")
    options = {
        "linear": ("linear.components=1", HOLD_OUT),
        "homogeneous": (HOLD_OUT,),
        "static": (*TINY_NETWORK, HOLD_OUT),
    }
    for method, values in options.items():
        succeed("reconstruct", movies, "-o", folder / method, "--method", method, *settings(values))
    return {method: folder / method for method in options}


def result(run: Path, test: str) -> dict:
    return json.loads((run / "validation" / f"{test}.json").read_text())


def test_half_sets_agree_on_a_motion_that_is_there(runs) -> None:
    said = succeed("validate", runs["linear"], "--half-sets")
    found = result(runs["linear"], "half_sets")
    moving = found["regions"]["moving"]
    assert found["n_movies"] == [9, 9]
    assert moving["correlation"] > 0.35
    assert moving["change"]["corrected"][1] > 0.35
    assert len(found["states"]) == len(moving["states_angstrom"]) == 10
    assert sum(found["other_half"]["scores"]) > 0
    assert len(found["other_half"]["movies"]) == 18
    assert not set(found["other_half"]["movies"]) & set(
        result(runs["linear"], "held_out")["movies"]
    )
    assert "half sets of 9 and 9 movies" in said
    assert "Warning" not in said
    maps = [
        read_volume(runs["linear"] / "validation" / f"half{half}_state_01.mrc", 16)
        for half in (1, 2)
    ]
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.8


def test_half_sets_that_were_stopped_go_on_and_end_alike(runs) -> None:
    run = runs["linear"]
    if not (run / "validation/half_sets.json").exists():
        succeed("validate", run, "--half-sets")
    before = result(run, "half_sets")
    assert "exists; pass --overwrite" in command("validate", run, "--half-sets").err
    (run / "validation/half_sets.json").unlink()
    (run / "validation/half2/latents.npz").unlink()
    succeed("validate", run, "--half-sets")
    assert result(run, "half_sets") == before


def test_a_half_set_knows_nothing_of_the_other(movies, runs, tmp_path) -> None:
    """With the images of the second half turned dark, the first model stays what it was.

    The noise level, which is measured on all images, changes by less than a thousandth.
    """
    alone = tmp_path / "alone"
    shutil.copytree(runs["linear"], alone, ignore=shutil.ignore_patterns("validation"))
    run, data = load_run(alone), read_dataset(movies)
    other = np.concatenate(movies_of_run(data, run.config)[1][1::2])
    images = data.images[:].copy()
    images[other] *= -1
    before = half_models(run, data)
    shutil.rmtree(alone / "validation")
    after = half_models(run, replace(data, images=images))
    changed = [
        float((a.generator.maps - b.generator.maps).norm() / a.generator.maps.norm())
        for a, b in zip(before, after, strict=True)
    ]
    assert changed[0] < 0.02
    assert changed[1] > 1


def test_half_sets_of_a_network(runs) -> None:
    said = succeed("validate", runs["static"], "--half-sets")
    found = result(runs["static"], "half_sets")
    assert found["motion"] is None
    assert set(found["regions"]) == {"particle", "moving"}
    assert "less likely than with one volume" in said  # it was hardly trained
    assert (runs["static"] / "validation/half2/checkpoint/model.safetensors").is_file()


def test_unseen_movies_tell_motion_from_one_volume_without_a_truth(runs) -> None:
    said = succeed("compare", runs["homogeneous"], runs["linear"])
    assert "What changes between frames: linear is better than homogeneous" in said
    assert "Scored on 6 movies that were not trained on" in said
    numbers = json.loads(succeed("compare", runs["homogeneous"], runs["linear"], "--json"))
    gain = numbers["advantages"]["linear"]["change"]
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    back = json.loads(
        succeed("compare", runs["linear"], runs["homogeneous"], "--json", "--baseline", "linear")
    )
    assert back["advantages"]["homogeneous"]["change"]["value"] == pytest.approx(-gain["value"])
    worse = succeed("compare", runs["linear"], runs["static"])
    assert "In all: static is worse than linear" in worse


def test_a_run_that_saw_all_movies_has_nothing_to_be_tested_with(movies, runs, tmp_path) -> None:
    all_seen = tmp_path / "all"
    succeed("reconstruct", movies, "-o", all_seen, "--method", "homogeneous")
    failed = command("validate", all_seen)
    assert failed.code == 2
    assert "held out no movies" in failed.err
    failed = command("compare", all_seen, runs["homogeneous"])
    assert failed.code == 2
    assert "--half-sets" in failed.err
    failed = command("validate", all_seen, "--half-sets")
    assert failed.code == 2
    assert "one volume for all frames" in failed.err


def test_runs_that_held_out_other_movies_are_not_compared(movies, runs, tmp_path) -> None:
    other = tmp_path / "other"
    options = settings((HOLD_OUT,))
    succeed("reconstruct", movies, "-o", other, "--method", "homogeneous", "--seed", "7", *options)
    failed = command("compare", runs["homogeneous"], other)
    assert failed.code == 2
    assert "different movies" in failed.err


def test_a_damaged_result_is_refused_in_one_line(runs) -> None:
    run = runs["homogeneous"]
    succeed("validate", run, "--overwrite")
    file = run / "validation/held_out.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "scores": [1.0]}))
    failed = command("compare", run, runs["static"])
    assert failed.code == 2
    assert "lists must be of one length" in failed.err
    assert failed.err.count("\n") == 1
    succeed("validate", run, "--overwrite")


def test_a_report_tells_what_the_tests_found(runs, tmp_path) -> None:
    for method in ("linear", "homogeneous"):
        succeed("validate", runs[method], "--overwrite")
    if not (runs["linear"] / "validation/half_sets.json").exists():
        succeed("validate", runs["linear"], "--half-sets")
    page = tmp_path / "report.html"
    said = succeed("report", runs["homogeneous"], runs["linear"], "-o", page)
    text = page.read_text()
    assert "In all: linear is better than homogeneous" in said
    assert "Half sets and unseen movies" in text
    assert "half sets of 9 and 9 movies" in text
    assert text.count("Half sets, whole molecule") == 1
    assert "where the molecule moves, their changes agree to" in text


def test_a_run_that_is_made_again_has_no_old_results(movies, runs, tmp_path) -> None:
    again = tmp_path / "again"
    shutil.copytree(runs["homogeneous"], again)
    succeed("validate", again, "--overwrite")
    options = ("-o", again, "--method", "homogeneous", *settings((HOLD_OUT,)))
    succeed("reconstruct", movies, *options, "--overwrite")
    assert not (again / "validation").exists()


def test_null_tests_of_a_run_are_kept_and_grow(runs) -> None:
    run = runs["homogeneous"]
    said = succeed("validate", run, "--null-tests", "--null-sets", "19", "--overwrite")
    found = result(run, "null_tests")
    assert "Null tests: Motion found" in said
    assert found["still"]["p_gain"] == found["still"]["p_agreement"] == 0.05
    assert len(found["still"]["gains"]) == 19
    before = result(run, "null_sets")
    assert "exists; pass --overwrite" in command("validate", run, "--null-tests").err
    sets = json.loads(
        succeed("validate", run, "--null-tests", "--null-sets", "20", "--overwrite", "--json")
    )
    assert sets["null_tests"]["finding"].startswith("moves")
    after = result(run, "null_sets")
    for name, made in before["made"].items():
        assert after["made"][name][:19] == made
    page = run.parent / "null.html"
    succeed("report", run, "-o", page)
    assert "Null tests: Motion found" in page.read_text()
