"""Runs that search poses: what they write and say, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.commands import TINY_SIMULATION, TINY_TRAINING, command, settings, succeed
from helpers.short_search import shorten_searches
from temporem.io.star import read_star
from temporem.physics.rotations import geodesic_degrees
from temporem.poses import search_steps
from temporem.poses.symmetry import Symmetry
from temporem.runs.facts import read_facts
from temporem.runs.persistence import read_metrics
from temporem.runs.run import load_run
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import read_truth

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shorten_searches(patch)
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


def reconstruct(dataset: Path, run: Path, method: str, poses: str, *more: str) -> str:
    options = ("-o", run, "--method", method, "--poses", poses)
    one = ("poses.effort=1",) if poses == "estimate" else ()
    return succeed("reconstruct", dataset, *options, *settings((*one, *more)))


def errors_of(dataset: Path, run: Path) -> torch.Tensor:
    return geodesic_degrees(load_run(run).poses.rotations, read_truth(dataset).poses.rotations)


def test_exact_poses_are_taken_as_they_are(tmp_path) -> None:
    """``auto`` looks at them first, and then gives what ``known`` gives, bit by bit."""
    dataset = tmp_path / "movies"
    succeed("simulate", "toy", "-o", dataset, *settings((*TINY_SIMULATION, "movies=12")))
    maps = []
    for poses in ("auto", "known"):
        reconstruct(dataset, tmp_path / poses, "homogeneous", poses, "data.held_out_fraction=0.2")
        maps.append((tmp_path / poses / "mean.mrc").read_bytes())
        assert load_run(tmp_path / poses).config.poses.source == "known"
    assert maps[0] == maps[1]


def stages_of(run: Path) -> list[str]:
    return [record["stage"] for record in read_metrics(run, "poses")]


def test_refined_poses_are_better_and_written_with_their_spread(off, tmp_path, monkeypatch) -> None:
    shorten_searches(monkeypatch, iterations=4)
    reconstruct(off, tmp_path / "known", "homogeneous", "known")
    reconstruct(off, tmp_path / "run", "homogeneous", "refine", "data.held_out_fraction=0.2")
    before, after = errors_of(off, tmp_path / "known"), errors_of(off, tmp_path / "run")
    assert after.median() < 0.75 * before.median()
    held_out = load_run(tmp_path / "run").held_out
    assert held_out.sum() == 16
    assert after[held_out].median() < before[held_out].median()

    table = read_star(tmp_path / "run" / "frames.star")["frames"]
    assert (table.floats("temporemAngleSd") > 0).all()
    assert (table.floats("temporemOriginSdAngst") > 0).all()
    assert "temporemAngleSd" not in read_star(tmp_path / "known" / "frames.star")["frames"]
    assert stages_of(tmp_path / "run") == ["poses"] * 4
    assert read_facts(tmp_path / "run").found_symmetry.name == "C1"
    assert read_facts(tmp_path / "known").found_symmetry is None
    # Evaluated in the reference frame of the poses.
    for run in ("known", "run"):
        assert "Pose error, median (°)" in succeed("evaluate", tmp_path / run, "--all")
    document = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert document["poses"]["median_degrees"]["value"] <= float(after.median()) + 0.5
    assert not document["poses"]["alignment"]["mirrored"]
    succeed("report", tmp_path / "known", tmp_path / "run", "-o", tmp_path / "report.html")


@pytest.mark.parametrize("method", ["linear", "static", "tempor"])
def test_every_method_goes_on_with_the_poses_found(off, tmp_path, method: str) -> None:
    networks = (*TINY_TRAINING, "poses.learned=none")
    training = networks if method != "linear" else ("linear.iterations=1",)
    reconstruct(off, tmp_path / "run", method, "refine", *training)
    run = load_run(tmp_path / "run")
    assert run.config.poses.source == "refine"
    assert stages_of(tmp_path / "run") == ["poses", "poses", "motion"]
    known = read_star(off / "particles.star")["particles"].floats("rlnAngleTilt")
    found = read_star(tmp_path / "run" / "frames.star")["frames"].floats("rlnAngleTilt")
    assert 0.1 < np.abs(known - found).mean() < 20
    assert np.isfinite(run.latents).all()


def test_a_run_with_poses_of_its_own_knows_its_dataset(off, bare, tmp_path) -> None:
    """Simulations of other seeds have the same frames by name."""
    for name, dataset, poses in (("refined", off, "refine"), ("estimated", bare, "estimate")):
        run, other = tmp_path / name, tmp_path / f"{name}-other"
        reconstruct(dataset, run, "homogeneous", poses)
        config = read_truth(dataset).config.model_copy(update={"seed": 7})
        simulate(config, other)
        for command_line in (("evaluate", run, "--truth"), ("report", run, "--dataset")):
            result = command(*command_line, other)
            assert result.code == 2
            assert "has changed since" in result.err
        succeed("evaluate", run, "--truth", dataset)


@pytest.mark.parametrize("alike", [0.2, 0.8])
def test_poses_that_no_other_start_finds_are_warned_of(
    bare, tmp_path, monkeypatch, alike: float
) -> None:
    """As if so many had been found again: what is said, and what the report has."""
    monkeypatch.setattr(search_steps, "frames_alike", lambda *_: alike)
    run = tmp_path / "run"
    printed = reconstruct(bare, run, "homogeneous", "estimate", "poses.effort=2")
    assert f"each on its own, agree within 20° on {alike:.0%} of the frames" in printed
    assert ("most poses may be wrong" in printed) == (alike < 0.5)
    succeed("report", run, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Frames whose poses two random starts agree on" in page
    assert ("the poses were not found" in page) == (alike < 0.5)
    assert read_facts(run).starts_alike == alike
    assert read_metrics(run, "poses")[-1]["starts_alike"] == alike


def test_a_single_start_says_nothing_of_agreement(bare, tmp_path) -> None:
    printed = reconstruct(bare, tmp_path / "run", "homogeneous", "estimate")
    assert "random starts" not in printed
    assert read_facts(tmp_path / "run").starts_alike is None


def test_poses_that_are_refined_must_be_there(bare, tmp_path) -> None:
    for option in ("refine", "known"):
        result = command("reconstruct", bare, "-o", tmp_path / "run", "--poses", option)
        assert result.code == 2
        assert "has no poses" in result.err
        assert not (tmp_path / "run").exists()


def test_a_symmetric_molecule_is_warned_of(off, tmp_path, monkeypatch) -> None:
    """As if the volume found were one: what is said, where, and what the run keeps."""
    threefold = Symmetry(3, True, (0.0, 0.0, 1.0), 0.95)
    monkeypatch.setattr(search_steps, "find_symmetry", lambda volume, half_fsc: threefold)
    printed = reconstruct(off, tmp_path / "run", "homogeneous", "refine")
    assert "Warning" in printed
    assert "turn by 120° about the axis (0.00, 0.00, 1.00)" in printed
    assert "D3" in printed
    assert read_facts(tmp_path / "run").found_symmetry == threefold
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
    return [record["diffusion"] for record in read_metrics(run, "poses")]


def test_diffusion_is_fitted_and_makes_noisy_poses_better(slow, tmp_path, monkeypatch) -> None:
    shorten_searches(monkeypatch, iterations=3)
    errors = {}
    for name, asked in (("none", "none"), ("auto", "auto"), ("given", "125")):
        run = tmp_path / name
        reconstruct(slow, run, "homogeneous", "refine", f"poses.diffusion={asked}")
        errors[name] = errors_of(slow, run).median()
    fits = diffusion_of(tmp_path / "auto")
    assert all(fit["useful"] and fit["gain"] > 0 for fit in fits)
    assert 125 / 2 < fits[-1]["coefficient"] < 125 * 2
    assert errors["auto"] < 0.8 * errors["none"]
    assert errors["given"] < 0.8 * errors["none"]
    assert not any("diffusion" in record for record in read_metrics(tmp_path / "none", "poses"))


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
