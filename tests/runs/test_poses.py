"""Runs that find poses: resumable, the same again, and what they write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from temporem.frames.frame_stack import open_frames
from temporem.runs.pose_state import found_symmetry, starts_alike
from temporem.runs.run_files import load_run

from helpers.commands import TINY_SIMULATION, TINY_TRAINING, command, settings, succeed
from temporem.evaluation.poses import pose_agreement
from temporem.frames.readers import read_dataset
from temporem.io import checkpoint
from temporem.io.checkpoint import save_checkpoint
from temporem.io.star import read_star
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector
from temporem.runs import poses as stage
from temporem.runs.config import RunConfig
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import read_truth

FEW = ("poses.iterations=2", "poses.motion_iterations=1", "poses.starts=1")


@pytest.fixture(scope="module")
def short_search():
    """A search of a few rounds, so that a test takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_ROUNDS", (*[stage.Round(4, 30)] * 2, stage.Round(5, 25)))
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
    assert found_symmetry(tmp_path / "run").name == "C1"
    assert found_symmetry(tmp_path / "known") is None
    # Evaluated in the frame of the poses.
    for run in ("known", "run"):
        printed = succeed("evaluate", tmp_path / run)
        assert "Pose error, median (°)" in printed
    document = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert document["poses"]["median_degrees"]["value"] <= float(after.median()) + 0.5
    assert not document["poses"]["alignment"]["mirrored"]
    succeed("report", tmp_path / "known", tmp_path / "run", "-o", tmp_path / "report.html")


@pytest.mark.usefixtures("short_search")
def test_run_without_poses_that_was_stopped_ends_as_one_that_was_not(
    bare, tmp_path, monkeypatch
) -> None:
    two_starts = (*FEW, "poses.starts=2")
    reconstruct(bare, tmp_path / "whole", "homogeneous", "estimate", *two_starts)
    saved = []

    def stop(directory: Path, *arguments: object, **more: object) -> None:
        save_checkpoint(directory, *arguments, **more)
        saved.append(directory)
        if len(saved) in (1, 3):  # between starts, and between iterations
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage.checkpoint, "save_checkpoint", stop)
        options = ("-o", tmp_path / "run", "--method", "homogeneous", "--poses", "estimate")
        first = command("reconstruct", bare, *options, *settings(two_starts))
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
    assert 0 < starts_alike(tmp_path / "whole") == starts_alike(tmp_path / "run") < 1
    assert "mirrored" in (succeed("evaluate", tmp_path / "run", "--json"))


@pytest.mark.usefixtures("short_search")
@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_start_that_is_likeliest_in_the_last_round_is_kept(
    bare, tmp_path, monkeypatch, best: int
) -> None:
    """Whatever it was in the rounds before."""
    last = [3.0, 1.0, 2.0]
    last[best] = 4.0
    found: list[torch.Tensor] = []
    rounds = len(stage._ROUNDS)

    class Search(stage.AbInitio):
        def iterate(self, volume, step, seed):  # type: ignore[no-untyped-def]
            expected = super().iterate(volume, step, seed)
            found.append(expected.volume)
            start, number = divmod(len(found) - 1, rounds)
            evidence = last[start] if number == rounds - 1 else -last[start]
            return replace(expected, log_evidence=evidence)

    monkeypatch.setattr(stage, "AbInitio", Search)
    reconstruct(bare, tmp_path / "run", "homogeneous", "estimate", "poses.starts=3")
    records = json.loads((tmp_path / "run" / "poses" / "state.json").read_text())["records"]
    starts = [r for r in records if r["stage"] == "ab initio"]
    assert [r["log_evidence"] for r in starts] == last
    assert starts[-1]["chosen"] == best + 1
    kept = checkpoint.load_tensors(tmp_path / "run" / "poses" / "extra.safetensors")
    assert kept["volume"].equal(found[(best + 1) * rounds - 1])


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


def test_a_turn_that_goes_with_the_conformation_is_undone(tmp_path) -> None:
    """And frames of a movie held out are turned with the others, but have no say."""
    path = tmp_path / "movies"
    simulation = ("box=16", "pixel_size_angstrom=8", "snr=3", "movies=70", "frames_per_movie=10")
    succeed("simulate", "toy", "-o", path, *settings(simulation))
    dataset, truth = read_dataset(path), read_truth(path)
    held_out = dataset.movies[-5:]
    config = RunConfig(method="tempor", dataset=str(path), poses={"source": "refine"})
    run = stage.PoseRun(config, dataset, dataset.movies[:-5], tmp_path)
    run.problem = run._problem(open_frames(dataset, config.data))
    run.state["radius"] = 8.0
    state = torch.from_numpy(truth.states).double()
    # As a search leaves it: the body follows the arm, by up to 18° either way.
    axis = torch.tensor([0.3, -0.4, 0.866], dtype=torch.float64)
    turn = rotation_of_vector(torch.deg2rad(4 * (state - 4.5))[:, None] * axis)
    true = replace(stage.Poses.at(truth.rotations), shifts_angstrom=truth.shifts_angstrom)
    poses = replace(true, rotations=true.rotations @ turn)
    noise = 0.3 * torch.randn(len(state), generator=torch.Generator().manual_seed(0)).double()

    def error(found: stage.Poses, rows: np.ndarray) -> float:
        agreement, _ = pose_agreement(
            found.rotations[rows],
            found.shifts_angstrom[rows],
            true.rotations[rows],
            true.shifts_angstrom[rows],
        )
        return float(np.median(agreement.angle_degrees))

    rows = np.concatenate(dataset.movies)
    assert error(poses, rows) > 8
    improved, degrees = run._aligned_conformations(
        stage.Improved(poses, poses), (state + noise)[:, None]
    )
    assert error(improved.poses, rows) < 3
    assert error(improved.poses, np.concatenate(held_out)) < 4
    assert len(degrees) == 6
    assert max(degrees) > 10
    # Nothing is turned where nothing is to be undone.
    same, _ = run._aligned_conformations(stage.Improved(true, true), (state + noise)[:, None])
    assert error(same.poses, rows) < 2
    # Of too few frames for two classes nothing can be said.
    run.movies = dataset.movies[:5]
    assert (
        run._aligned_conformations(stage.Improved(poses, poses), state[:, None])[0].poses is poses
    )


@pytest.mark.usefixtures("short_search")
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
            assert "is not what" in result.err
        succeed("evaluate", run, "--truth", dataset)


@pytest.fixture(scope="module")
def searched(bare, short_search, tmp_path_factory) -> Path:
    """A run that has found poses from images alone."""
    run = tmp_path_factory.mktemp("searched") / "run"
    reconstruct(bare, run, "homogeneous", "estimate")
    return run


DAMAGE: dict[str, Callable[[dict], object]] = {
    "kind": lambda s: s.update(kind="training"),
    "records": lambda s: s["records"].pop(),
    "log_evidence": lambda s: s["records"][0].pop("log_evidence"),
    "log_evidence of a start": lambda s: s["records"][0].update(log_evidence="much"),
    "radius": lambda s: s.pop("radius"),
    "radius below 0": lambda s: s.update(radius=-1),
    "diffusion": lambda s: s.update(diffusion="fast"),
    "inflation": lambda s: s.update(inflation=0.5),
    "starts_alike": lambda s: s.update(starts_alike=2),
    "symmetry": lambda s: s.update(symmetry={}),
    "symmetry and more": lambda s: s["symmetry"].update(colour="red"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_search_is_refused(searched, tmp_path, what: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(searched, run)
    (run / "frames.star").unlink()  # as if it had been stopped
    state = json.loads((run / "poses" / "state.json").read_text())
    DAMAGE[what](state)
    (run / "poses" / "state.json").write_text(json.dumps(state))
    result = command("reconstruct", load_run(searched).config.dataset, "-o", run, "--resume")
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert what.partition(" ")[0] in result.err


@pytest.mark.usefixtures("short_search")
@pytest.mark.parametrize("alike", [0.2, 0.8])
def test_poses_that_no_other_start_finds_are_warned_of(
    bare, tmp_path, monkeypatch, alike: float
) -> None:
    """As if so many had been found again: what is said, and what the report has."""
    monkeypatch.setattr(stage, "frames_alike", lambda *_: alike)
    run = tmp_path / "run"
    options = ("-o", run, "--method", "homogeneous", "--poses", "estimate")
    printed = succeed("reconstruct", bare, *options, *settings((*FEW, "poses.starts=2")))
    assert f"two random starts, each on its own, find {alike:.0%} of the frames alike" in printed
    assert ("most poses may be wrong" in printed) == (alike < 0.5)
    succeed("report", run, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Frames that two random starts find in like poses" in page
    assert ("poses may be wrong for the most part" in page) == (alike < 0.5)
    assert starts_alike(run) == alike


def test_of_one_start_nothing_is_said(searched) -> None:
    assert starts_alike(searched) is None


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
    assert found_symmetry(tmp_path / "run") == threefold
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
