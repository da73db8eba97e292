"""``temporem check``, and the cheap checks within ``reconstruct``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.bad_input import change_pixels, contents, drop_ctf, refuse
from helpers.commands import command, settings, succeed
from temporem.io.mrc import read_volume

CLEAN = ("movies=16", "frames_per_movie=6", "box=16", "pixel_size_angstrom=8", "snr=1")


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("check") / "movies"
    succeed("simulate", "toy", "-o", path, *settings(CLEAN))
    return path


@pytest.fixture
def dataset(clean: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(clean, tmp_path / "movies"))


def negated(images: np.ndarray) -> np.ndarray:
    return -images


def raised(images: np.ndarray) -> np.ndarray:
    return images + 5 * images[:, :2, :2].std()


def test_a_clean_dataset_passes_and_nothing_is_written(clean: Path) -> None:
    before = contents(clean.parent)
    said = succeed("check", clean)
    assert "WARNING" not in said
    assert "Columns ignored: rlnOpticsGroupName" in said
    assert "Next: temporem reconstruct" in said
    assert contents(clean.parent) == before


def test_what_reconstruct_would_refuse_ends_with_2(dataset: Path) -> None:
    change_pixels(dataset, negated)
    result = command("check", dataset)
    assert result.code == 2
    assert "REFUSED  contrast" in result.out
    assert "pass --invert" in result.err
    assert "WARNING" not in succeed("check", dataset, "--invert")


def test_images_without_ctf_are_looked_at_without_one(clean: Path, tmp_path: Path) -> None:
    """A file without its columns is refused, because most images have a CTF."""
    dataset = tmp_path / "movies"
    succeed("simulate", "toy", "-o", dataset, *settings((*CLEAN, "ctf=none")))
    assert "CTF: Images are formed without a CTF" in succeed("check", dataset)
    drop_ctf(dataset)
    assert "--ctf none" in refuse(dataset, "check", dataset)
    said = succeed("check", dataset, "--ctf", "none")
    assert "WARNING" not in said
    assert "ok       contrast" in said
    change_pixels(dataset, negated)
    assert "REFUSED  contrast" in command("check", dataset, "--ctf", "none").out


def test_json_holds_every_finding(clean: Path) -> None:
    document = json.loads(succeed("check", clean, "--json"))
    assert document["dataset"] == str(clean)
    verdicts = {finding["check"]: finding["verdict"] for finding in document["findings"]}
    assert verdicts["contrast"] == "good"
    assert {"tempor", "linear"} <= document["memory_gib"].keys()


def test_the_picture_is_a_png(clean: Path, tmp_path: Path) -> None:
    succeed("check", clean, "-o", tmp_path / "check.png")
    assert (tmp_path / "check.png").read_bytes().startswith(b"\x89PNG")
    assert "exists" in refuse(tmp_path, "check", clean, "-o", tmp_path / "check.png")


def test_a_file_of_another_program_is_named(tmp_path: Path) -> None:
    """Particle files are read as by import (tests/cli/test_import.py); movies are for extract."""
    cs, movie = tmp_path / "particles.cs", tmp_path / "movie.ser"
    cs.write_bytes(b"\x93NUMPY")
    movie.write_bytes(b"II\x97\x01")
    assert "a .cs file of cryoSPARC" in refuse(tmp_path, "check", cs)
    assert "use temporem extract" in refuse(tmp_path, "check", movie)
    assert "use temporem import" in refuse(
        tmp_path, "reconstruct", cs, "-o", tmp_path / "run", "--method", "linear"
    )


def test_reconstruct_refuses_and_the_flag_that_it_names_mends(dataset: Path) -> None:
    change_pixels(dataset, negated)
    run = dataset.parent / "run"
    options = ("reconstruct", dataset, "-o", run, "--method", "homogeneous")
    assert "--invert" in refuse(dataset.parent, *options)
    succeed(*options, "--invert")


def test_reconstruct_subtracts_a_background_and_says_so(dataset: Path, clean: Path) -> None:
    change_pixels(dataset, raised)
    runs = [dataset.parent / name for name in ("raised", "clean")]
    options = ("--method", "homogeneous")
    said = succeed("reconstruct", dataset, "-o", runs[0], *options)
    assert "Subtracted a background" in said
    assert "Subtracted" not in succeed("reconstruct", clean, "-o", runs[1], *options)
    maps = [read_volume(run / "mean.mrc", 16) for run in runs]
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.99
    left = ("--set", "data.corrections=false")
    assert "data.corrections" in refuse(
        dataset.parent, "reconstruct", dataset, "-o", runs[0], "--overwrite", *options, *left
    )


def test_reconstruct_warns_where_it_is_told_to_go_on(dataset: Path) -> None:
    change_pixels(dataset, negated)
    run = dataset.parent / "run"
    options = ("reconstruct", dataset, "-o", run, "--method", "homogeneous")
    result = command(*options, "--set", "data.checks=warn")
    assert result.code == 0
    assert "molecules seem to be dark" in result.err
    assert "molecules seem to be dark" in result.out
    assert "dark" in json.loads((run / "run.json").read_text())["data_warnings"][0]
