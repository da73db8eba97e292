"""Runs applied to movies that they have not seen."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from helpers.commands import TINY_TRAINING, command, settings, succeed
from temporem.errors import TemporemError
from temporem.physics.rotations import geodesic_degrees
from temporem.runs.apply import apply_run
from temporem.runs.run import load_run
from temporem.simulation.truth import read_truth

pytestmark = pytest.mark.integration

SMALL = ("box=24", "pixel_size_angstrom=5", "movies=30", "frames_per_movie=6", "snr=1")
HELD_OUT = "data.held_out_fraction=0.3"


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("apply") / "movies"
    succeed("simulate", "toy-free", "-o", path, *settings(SMALL))
    return path


@pytest.fixture(scope="module")
def linear(movies) -> Path:
    run = movies.parent / "linear"
    one = ("linear.components=1", HELD_OUT)
    succeed("reconstruct", movies, "-o", run, "--method", "linear", *settings(one))
    return run


def changed(movies: Path, to: Path, factor: float) -> Path:
    """The same movies with other pixels."""
    to.mkdir()
    (to / "particles.star").write_bytes((movies / "particles.star").read_bytes())
    with mrcfile.open(movies / "particles.mrcs") as stack:
        pixels, size = stack.data.copy(), stack.voxel_size
    with mrcfile.new(to / "particles.mrcs") as stack:
        stack.set_data((factor * pixels).astype(np.float32))
        stack.set_image_stack()
        stack.voxel_size = size
    return to


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a[:, 0], b[:, 0])[0, 1])


@pytest.mark.parametrize("method", ["linear", "tempor", "static"])
def test_latents_are_those_that_the_run_gives_movies_it_held_out(
    movies, linear, tmp_path, method
) -> None:
    run = linear
    if method != "linear":
        run, small = tmp_path / "run", (*TINY_TRAINING, HELD_OUT, "linear.components=1")
        succeed("reconstruct", movies, "-o", run, "--method", method, *settings(small))
    applied = load_run(apply_run(load_run(run), movies, tmp_path / "applied"))
    before = load_run(run)
    assert applied.facts.applied_run == str(run)
    held = before.held_out
    assert held.sum() > 30
    assert likeness(applied.latents[held], before.latents[held]) > 0.98
    row = int(np.flatnonzero(held)[0])
    one, other = applied.volume(applied.latent_means[row]), before.volume(before.latent_means[row])
    assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] > 0.99
    assert applied.facts.applied_intensity == pytest.approx(1, abs=0.1)


def test_images_may_have_another_scale(movies, linear, tmp_path) -> None:
    brighter = changed(movies, tmp_path / "brighter", 40.0)
    plain = load_run(apply_run(load_run(linear), movies, tmp_path / "plain"))
    scaled = load_run(apply_run(load_run(linear), brighter, tmp_path / "scaled"))
    np.testing.assert_allclose(scaled.latents, plain.latents, atol=0.02)


def test_poses_are_found_in_the_volumes(movies, linear, tmp_path) -> None:
    run = load_run(apply_run(load_run(linear), movies, tmp_path / "found", poses="estimate"))
    truth = read_truth(movies)
    apart = geodesic_degrees(run.poses.rotations, truth.poses.rotations)
    assert apart.median() < 6  # without an alignment: the volumes have their reference frame
    known = load_run(apply_run(load_run(linear), movies, tmp_path / "known"))
    assert abs(likeness(run.latents, known.latents)) > 0.8


def test_other_molecules_signs_and_grids_are_refused(movies, linear, tmp_path) -> None:
    dark = changed(movies, tmp_path / "dark", -1.0)
    with pytest.raises(TemporemError, match=r"dark.*--invert"):
        apply_run(load_run(linear), dark, tmp_path / "no")
    turned = load_run(apply_run(load_run(linear), dark, tmp_path / "turned", invert=True))
    assert turned.facts.applied_intensity == pytest.approx(1, abs=0.1)
    wrong = tmp_path / "wrong"
    succeed("simulate", "toy-free", "-o", wrong, *settings((*SMALL, "poses.error_degrees=100")))
    with pytest.raises(TemporemError, match=r"do not show the molecule.*--poses estimate"):
        apply_run(load_run(linear), wrong, tmp_path / "no")
    other = tmp_path / "other"
    succeed("simulate", "toy-free", "-o", other, *settings((*SMALL[2:], "box=32", "movies=4")))
    with pytest.raises(TemporemError, match="32 pixels"):
        apply_run(load_run(linear), other, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_the_command_says_what_it_measured(movies, linear, tmp_path) -> None:
    out = tmp_path / "applied"
    printed = succeed("reconstruct", movies, "-o", out, "--apply", linear)
    assert "Intensity of the molecule" in printed
    assert "Motion correlation" in succeed("evaluate", out)
    again = command("reconstruct", movies, "-o", out, "--apply", linear)
    assert again.code == 2
    assert "--overwrite" in again.err
    mixed = command("reconstruct", movies, "-o", out, "--apply", linear, "--epochs", "3")
    assert mixed.code == 2
    assert "--apply takes all settings from the run" in mixed.err
