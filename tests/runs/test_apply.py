"""Runs applied to movies that they have not seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from helpers.commands import TINY_TRAINING, command, settings, succeed
from temporem.errors import TemporemError
from temporem.frames.readers import read_dataset
from temporem.physics.rotations import geodesic_degrees
from temporem.progress import Progress
from temporem.runs import pipeline
from temporem.runs.apply import apply_run
from temporem.runs.methods.base import Task
from temporem.runs.persistence import RunStore
from temporem.runs.poses import RunPoses
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


def changed(movies: Path, to: Path, factor: float = 0.0, noise: float = 0.0) -> Path:
    """The same movies with other pixels."""
    shutil.copytree(movies, to)
    with mrcfile.open(to / "particles.mrcs", "r+") as stack:
        drawn = np.random.default_rng(0).normal(size=stack.data.shape)
        stack.set_data((factor * stack.data + noise * drawn).astype(np.float32))
    return to


def true_poses(task: Task, store: RunStore, progress: Progress) -> RunPoses:
    """The true poses, as if a search had found them."""
    return RunPoses(read_truth(task.dataset.path).poses, False, {})


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
    assert run.facts.applied_poses == "a search"
    assert "Motion correlation" in succeed("evaluate", run.path)
    known = load_run(apply_run(load_run(linear), movies, tmp_path / "known"))
    assert abs(likeness(run.latents, known.latents)) > 0.8


def test_head_of_a_run_gives_poses_of_new_movies(movies, tmp_path) -> None:
    run, out, new = tmp_path / "run", tmp_path / "applied", tmp_path / "new"
    succeed("simulate", "toy-free", "-o", new, *settings((*SMALL, "movies=8", "seed=7")))
    head = ("poses.learned=head", "poses.head_images=25000", "linear.components=1")
    options = ("--method", "linear", "--poses", "estimate", *settings(head))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "find_run_poses", true_poses)  # a search takes minutes
        succeed("reconstruct", movies, "-o", run, *options)
    before = load_run(run)
    assert before.facts.pose_head_apart_degrees < 45  # little training; by chance 126
    apart = geodesic_degrees(before.poses.rotations, read_truth(movies).poses.rotations)
    assert apart.median() < 0.7 * before.facts.pose_head_apart_degrees  # refined
    printed = succeed("reconstruct", new, "-o", out, "--apply", run, "--poses", "estimate")
    assert "Poses: the pose head" in printed
    applied = load_run(out)
    assert applied.facts.applied_poses == "the pose head"
    refined = geodesic_degrees(applied.poses.rotations, read_truth(new).poses.rotations)
    assert refined.median() < 0.7 * before.facts.pose_head_apart_degrees


def test_other_molecules_signs_and_grids_are_refused(movies, linear, tmp_path) -> None:
    dark = changed(movies, tmp_path / "dark", -1.0)
    with pytest.raises(TemporemError, match=r"dark.*--invert"):
        apply_run(load_run(linear), dark, tmp_path / "no")
    turned = load_run(apply_run(load_run(linear), dark, tmp_path / "turned", invert=True))
    assert turned.facts.applied_intensity == pytest.approx(1, abs=0.1)
    wrong = tmp_path / "wrong"
    succeed("simulate", "toy-free", "-o", wrong, *settings((*SMALL, "poses.error_degrees=100")))
    with pytest.raises(TemporemError, match=r"do not show the molecule.*--poses estimate"):
        apply_run(load_run(linear), wrong, tmp_path / "no", poses="known")
    said: list[str] = []  # refined, as they seem to be off, which saves some of them
    apply_run(load_run(linear), wrong, tmp_path / "wrong-run", warn=said.append)
    assert any("many poses may be wrong" in text for text in said)
    other = tmp_path / "other"
    succeed("simulate", "toy-free", "-o", other, *settings((*SMALL[2:], "box=32", "movies=4")))
    with pytest.raises(TemporemError, match="32 pixels"):
        apply_run(load_run(linear), other, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_the_command_says_what_it_measured(movies, linear, tmp_path) -> None:
    out = tmp_path / "applied"
    printed = succeed("reconstruct", movies, "-o", out, "--apply", linear)
    assert "Intensity of the molecule" in printed
    assert "Poses: the dataset" in printed
    assert "Motion correlation" in succeed("evaluate", out)
    again = command("reconstruct", movies, "-o", out, "--apply", linear)
    assert again.code == 2
    assert "--overwrite" in again.err
    mixed = command("reconstruct", movies, "-o", out, "--apply", linear, "--epochs", "3")
    assert mixed.code == 2
    assert "--apply takes all settings from the run" in mixed.err


def test_one_new_movie_is_enough(movies, linear, tmp_path) -> None:
    alone = tmp_path / "alone"
    succeed("simulate", "toy-free", "-o", alone, *settings((*SMALL, "movies=1", "seed=4")))
    run = load_run(apply_run(load_run(linear), alone, tmp_path / "applied"))
    truth = read_truth(alone)
    assert len(run.latents) == truth.n_frames
    assert run.facts.applied_intensity == pytest.approx(1, abs=0.3)


def test_poses_that_are_off_are_noticed_and_refined(linear, tmp_path) -> None:
    off = tmp_path / "off"
    errors = ("poses.error_degrees=12", "poses.shift_error_angstrom=5", "seed=5")
    succeed("simulate", "toy-free", "-o", off, *settings((*SMALL, *errors)))
    said: list[str] = []
    run = load_run(apply_run(load_run(linear), off, tmp_path / "applied", warn=said.append))
    assert any("poses seem to be off" in text for text in said)
    assert run.config.poses.source == "refine"
    truth, given = read_truth(off), read_dataset(off)
    before = geodesic_degrees(given.poses.rotations, truth.poses.rotations).median()
    assert geodesic_degrees(run.poses.rotations, truth.poses.rotations).median() < 0.7 * before


def test_a_search_does_not_find_the_molecule_in_noise(movies, linear, tmp_path) -> None:
    noise = changed(movies, tmp_path / "noise", noise=1.0)
    with pytest.raises(TemporemError, match="do not show the molecule"):
        apply_run(load_run(linear), noise, tmp_path / "applied", poses="estimate")
    assert not (tmp_path / "applied").exists()
