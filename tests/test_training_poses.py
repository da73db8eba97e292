"""Runs that find poses: resumable, the same again, and what they write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import TINY_SIMULATION, TINY_TRAINING, command, settings, succeed
from temporem.data.star import read_star
from temporem.data.truth import read_truth
from temporem.physics.rotations import geodesic_degrees
from temporem.training import poses as stage
from temporem.training.checkpoint import save_checkpoint
from temporem.training.run_files import load_run

FEW = ("poses.iterations=2", "poses.motion_iterations=1", "poses.starts=1")


@pytest.fixture(scope="module")
def short_search():
    """A search of a few rounds, so that a test takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_FIRST_ROUNDS", (stage.Round(4, 30),) * 2)
        patch.setattr(stage, "_LAST_ROUNDS", (stage.Round(5, 25),))
        yield


@pytest.fixture(scope="module")
def off(tmp_path_factory) -> Path:
    """Movies whose poses are written 8° and 4 Å off."""
    path = tmp_path_factory.mktemp("off") / "movies"
    errors = ("poses.error_degrees=8", "poses.shift_error_angstrom=4")
    simulation = (*TINY_SIMULATION, "snr=10", "movies=20", "motion.step_degrees=0", *errors)
    succeed("simulate", "toy", "-o", path, *settings(simulation))
    return path


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """Movies without poses."""
    path = tmp_path_factory.mktemp("bare") / "movies"
    succeed("simulate", "toy", "-o", path, *settings((*TINY_SIMULATION, "poses.written=false")))
    return path


def reconstruct(dataset: Path, run: Path, method: str, poses: str, *more: str) -> None:
    options = ("-o", run, "--method", method, "--poses", poses)
    succeed("reconstruct", dataset, *options, *settings((*FEW, *more)))


def errors_of(dataset: Path, run: Path) -> torch.Tensor:
    return geodesic_degrees(load_run(run).rotations, read_truth(dataset).rotations)


def test_refined_poses_are_better_and_written_with_their_spread(off, tmp_path) -> None:
    reconstruct(off, tmp_path / "known", "homogeneous", "known")
    more = ("data.held_out_fraction=0.2", "poses.iterations=4")
    reconstruct(off, tmp_path / "run", "homogeneous", "refine", *more)
    before, after = errors_of(off, tmp_path / "known"), errors_of(off, tmp_path / "run")
    assert after.median() < 0.75 * before.median()
    held_out = load_run(tmp_path / "run").held_out
    assert held_out.sum() == 16
    assert after[held_out].median() < before[held_out].median()

    table = read_star(tmp_path / "run" / "frames.star")["frames"]
    spread = table.floats("temporemAngleSd")
    assert (spread > 0).all()
    assert (table.floats("temporemOriginSdAngst") > 0).all()
    assert "temporemAngleSd" not in read_star(tmp_path / "known" / "frames.star")["frames"]
    records = json.loads((tmp_path / "run" / "poses" / "state.json").read_text())["records"]
    assert [r["stage"] for r in records] == ["poses"] * 4
    assert stage.found_symmetry(tmp_path / "run").name == "C1"
    assert stage.found_symmetry(tmp_path / "known") is None
    # Evaluated in the frame of the poses.
    for run in ("known", "run"):
        printed = succeed("evaluate", tmp_path / run)
        assert "Pose error, median (°)" in printed
    document = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert document["poses"]["median_degrees"] <= float(after.median()) + 0.5
    assert not document["alignment"]["mirrored"]
    succeed("report", tmp_path / "known", tmp_path / "run", "-o", tmp_path / "report.html")


@pytest.mark.usefixtures("short_search")
def test_run_without_poses_that_was_stopped_ends_as_one_that_was_not(
    bare, tmp_path, monkeypatch
) -> None:
    reconstruct(bare, tmp_path / "whole", "homogeneous", "estimate")
    saved = []

    def stop(directory: Path, *arguments: object, **more: object) -> None:
        save_checkpoint(directory, *arguments, **more)
        saved.append(directory)
        if len(saved) in (1, 2):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage.checkpoint, "save_checkpoint", stop)
        options = ("-o", tmp_path / "run", "--method", "homogeneous", "--poses", "estimate")
        first = command("reconstruct", bare, *options, *settings(FEW))
        assert first.code == 130
        assert "--resume" in first.err
        again = command("reconstruct", bare, "-o", tmp_path / "run", "--resume")
        assert again.code == 130
    succeed("reconstruct", bare, "-o", tmp_path / "run", "--resume")
    for name in ("frames.star", "mean.mrc"):
        whole, run = ((tmp_path / r / name).read_bytes() for r in ("whole", "run"))
        assert whole == run or name.endswith("mrc")  # an MRC header has the time
    assert load_run(tmp_path / "run").generator.mean.equal(
        load_run(tmp_path / "whole").generator.mean
    )
    assert "mirrored" in (succeed("evaluate", tmp_path / "run", "--json"))


@pytest.mark.parametrize("method", ["linear", "static", "tempor"])
def test_every_method_goes_on_with_the_poses_found(off, tmp_path, method: str) -> None:
    networks = (*TINY_TRAINING, "poses.learned=none")
    training = networks if method != "linear" else ("linear.iterations=1",)
    reconstruct(off, tmp_path / "run", method, "refine", *training)
    run = load_run(tmp_path / "run")
    assert run.config.poses.source == "refine"
    records = json.loads((tmp_path / "run" / "poses" / "state.json").read_text())["records"]
    assert [r["stage"] for r in records] == ["poses", "poses", "motion"]
    known = read_star(off / "particles.star")["particles"].floats("rlnAngleTilt")
    found = read_star(tmp_path / "run" / "frames.star")["frames"].floats("rlnAngleTilt")
    assert 0.1 < np.abs(known - found).mean() < 20
    assert np.isfinite(run.latents).all()


def test_poses_that_are_refined_must_be_there(bare, tmp_path) -> None:
    for option in ("refine", "known"):
        result = command("reconstruct", bare, "-o", tmp_path / "run", "--poses", option)
        assert result.code == 2
        assert "has no poses" in result.err
        assert not (tmp_path / "run").exists()


def test_a_symmetric_molecule_is_warned_of(off, tmp_path, monkeypatch) -> None:
    """As if the volume found were one: what is said, where, and what the run keeps."""
    threefold = stage.Symmetry(3, True, (0.0, 0.0, 1.0), 0.95)
    monkeypatch.setattr(stage, "find_symmetry", lambda volume, half_fsc: threefold)
    options = ("-o", tmp_path / "run", "--method", "homogeneous", "--poses", "refine")
    printed = succeed("reconstruct", off, *options, *settings(FEW))
    assert "Warning" in printed
    assert "turn by 120° about the axis (0.00, 0.00, 1.00)" in printed
    assert "D3" in printed
    assert stage.found_symmetry(tmp_path / "run") == threefold
    assert "D3" in succeed("evaluate", tmp_path / "run")


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Path:
    """Noisy movies of molecules that turn by 5° about each axis from frame to frame."""
    path = tmp_path_factory.mktemp("slow") / "movies"
    turning = ("poses.kind=diffusion", "poses.diffusion_degrees2_per_second=125")
    errors = ("poses.error_degrees=12", "motion.step_degrees=0", "movies=20", "snr=0.3")
    simulation = (*TINY_SIMULATION, "frames_per_movie=8", *turning, *errors)
    succeed("simulate", "toy", "-o", path, *settings(simulation))
    return path


def diffusion_of(run: Path) -> list[dict]:
    records = json.loads((run / "poses" / "state.json").read_text())["records"]
    return [record["diffusion"] for record in records]


def test_diffusion_is_fitted_and_makes_noisy_poses_better(slow, tmp_path) -> None:
    more = ("poses.iterations=3",)
    errors = {}
    for name in ("none", "auto"):
        options = (*more, f"poses.diffusion={name}")
        reconstruct(slow, tmp_path / name, "homogeneous", "refine", *options)
        errors[name] = errors_of(slow, tmp_path / name)
    fits = diffusion_of(tmp_path / "auto")
    assert all(fit["useful"] and fit["gain"] > 0 for fit in fits)
    assert 125 / 2 < fits[-1]["coefficient"] < 125 * 2
    assert errors["auto"].median() < 0.8 * errors["none"].median()
    assert "diffusion" not in (tmp_path / "none" / "poses" / "state.json").read_text()
    # As given, in the same unit.
    reconstruct(slow, tmp_path / "given", "homogeneous", "refine", *more, "poses.diffusion=125")
    assert errors_of(slow, tmp_path / "given").median() < 0.8 * errors["none"].median()


def test_frames_that_are_not_connected_are_left_alone(off, tmp_path) -> None:
    for name in ("none", "auto"):
        reconstruct(off, tmp_path / name, "homogeneous", "refine", f"poses.diffusion={name}")
    assert not any(fit["useful"] for fit in diffusion_of(tmp_path / "auto"))
    one, other = ((tmp_path / name / "frames.star").read_bytes() for name in ("none", "auto"))
    assert one == other


@pytest.mark.parametrize("value", ["-3", "0", "some"])
def test_diffusion_that_makes_no_sense_is_refused(off, tmp_path, value: str) -> None:
    options = ("-o", tmp_path / "run", "--set", f"poses.diffusion={value}", "--poses", "refine")
    result = command("reconstruct", off, *options)
    assert result.code == 2
    assert "poses.diffusion" in result.err
    assert "Traceback" not in result.err
