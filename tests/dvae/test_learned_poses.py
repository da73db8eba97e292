"""Runs that learn poses with the network: closer to the truth, resumable, and what they write."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from temporem.dvae.config import ModelConfig
from temporem.runs.run_files import load_run

from helpers.blobs import BlobMovies, simulate_blobs
from helpers.commands import TINY_SIMULATION, TINY_TRAINING, command, settings, succeed
from temporem.dvae.learned_poses import encode_in_current_poses, learned_poses, pose_rate
from temporem.dvae.model import MovieVAE
from temporem.dvae.training import Trainer, infer_all
from temporem.evaluation.poses import pose_agreement
from temporem.frames.dataset import Dataset
from temporem.frames.frame_noise import FrameNoise
from temporem.frames.frames import PreparedFrames, prepare_frames
from temporem.io.star import read_star
from temporem.physics.rotations import rotation_of_vector
from temporem.runs.config import PosesConfig, RunConfig, TrainingConfig, build_config
from temporem.runs.poses import FoundPoses

SMALL = ModelConfig(
    encoder_width=16,
    encoder_depth=1,
    rnn_width=8,
    generator_width=16,
    generator_depth=1,
    generator_features=16,
)


def configure(method="static", *, step_degrees=0.5, **training) -> RunConfig:
    values = {
        "epochs": 4,
        "frames_per_step": 8,
        "precision": "float32",
        "device": "cpu",
        "start_resolution": 1.0,
    } | training
    return RunConfig(
        method=method,
        model=SMALL,
        training=TrainingConfig(**values),
        poses=PosesConfig(source="refine", learned="table", step_degrees=step_degrees),
    )


def prepare(blobs: BlobMovies, config: RunConfig) -> PreparedFrames:
    data, cpu = blobs.dataset, torch.device("cpu")
    return prepare_frames(
        data, config.data, config.encoder_input, data.movies, cpu, moving_poses=config.moving_poses
    )


def poses_off(blobs: BlobMovies, degrees: float, shift_angstrom: float) -> BlobMovies:
    """The same images with poses that are wrong by so much about, and along, every axis."""
    data, noise = blobs.dataset, torch.Generator().manual_seed(7)
    n = data.n_frames
    turns = np.deg2rad(degrees) * torch.randn(n, 3, generator=noise, dtype=torch.float64)
    moves = shift_angstrom * torch.randn(n, 2, generator=noise, dtype=torch.float64)
    wrong = replace(
        data,
        rotations=rotation_of_vector(turns) @ data.rotations,
        shifts_angstrom=data.shifts_angstrom + moves,
    )
    return replace(blobs, dataset=wrong)


def errors(poses: FoundPoses | Dataset, true: BlobMovies) -> tuple[float, float]:
    """Medians of angle, degrees, and shift, Å, once all frames are turned as one."""
    data = true.dataset
    given = poses.rotations, poses.shifts_angstrom
    agreement, _ = pose_agreement(*given, data.rotations, data.shifts_angstrom)
    return float(np.median(agreement.angle_degrees)), float(np.median(agreement.shift_angstrom))


@pytest.fixture(scope="module")
def tiny() -> tuple[BlobMovies, PreparedFrames]:
    blobs = poses_off(simulate_blobs([4, 3, 5, 4], box=12, snr=2.0), 4.0, 1.0)
    return blobs, prepare(blobs, configure())


def test_table_some_degrees_off_comes_closer_to_the_truth(tmp_path: Path) -> None:
    true = simulate_blobs([8] * 30, snr=10.0, arc_degrees=0.0)
    blobs = poses_off(true, 5.0, 1.5)
    config = configure(epochs=24, step_degrees=1.0, learning_rate=2e-3)
    frames = prepare(blobs, config)
    model = Trainer(config, frames, frames.movies, tmp_path).fit()
    found = learned_poses(model, frames, blobs.dataset, infer_all(model, frames).mean)
    (angle, shift), (angle_before, shift_before) = (
        errors(poses, true) for poses in (found, blobs.dataset)
    )
    assert angle_before > 7
    assert angle < 0.6 * angle_before
    assert shift < 0.6 * shift_before
    assert (found.angle_sd_degrees > 0).all()
    assert found.angle_sd_degrees.median() < 2  # what it starts from


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_gradient_reaches_every_parameter_and_evaluation_is_deterministic(
    tiny, tmp_path: Path, method: str
) -> None:
    _, frames = tiny
    model = Trainer(configure(method), frames, frames.movies, tmp_path).model
    random, base = torch.Generator().manual_seed(9), model.generator.base
    assert base is not None
    base.set_maps(base.maps + 0.1 * torch.randn(base.maps.shape, generator=random))
    # As after a first step of training: nothing reaches what is before weights that are 0.
    curve = model.generator.coordinates.bend.last.weight
    curve.data.copy_(0.1 * torch.randn(curve.shape, generator=random))
    batch = encode_in_current_poses(model, frames, frames.batch(frames.movies))
    bound = model.bound(batch, FrameNoise(torch.Generator().manual_seed(0)))
    (bound.kl + bound.pose_kl - bound.log_likelihood).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert model.poses is not None
    assert (model.poses.turns.grad.norm(dim=-1) > 0).all()  # of every frame
    with torch.no_grad():
        first, second = model.bound(batch), model.bound(batch)
        drawn = model.bound(batch, FrameNoise(torch.Generator().manual_seed(0)))
    for name in ("log_likelihood", "kl", "pose_kl"):
        assert getattr(first, name).equal(getattr(second, name))
    assert not torch.allclose(drawn.log_likelihood, first.log_likelihood)


def test_encoder_sees_frames_in_the_poses_learned_so_far(tiny, tmp_path: Path) -> None:
    """With the true changes in the table, what it sees is what frames in those poses give."""
    blobs, frames = tiny
    model = Trainer(configure(), frames, frames.movies, tmp_path).model
    table, n = model.poses, blobs.dataset.n_frames
    assert table is not None
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        table.turns.copy_(0.1 * torch.randn(n, 3, generator=noise))
        table.shifts.copy_(0.1 * torch.randn(n, 2, generator=noise))
    batch = encode_in_current_poses(model, frames, frames.batch(frames.movies, n_pixels=0))
    found = learned_poses(model, frames, blobs.dataset, torch.zeros(n, 1))
    moved = prepare(replace(blobs, dataset=found.of(blobs.dataset)), configure())
    # The same function of other images, up to their window, which is centred on the particle.
    images, ctf = moved.source.take(np.arange(n), frames.encoder_input.n_pixels)
    expected = frames.encoder_input(images, ctf, moved.rotations)
    unmoved = frames.encoder_input(*frames.source.take(np.arange(n)), frames.rotations)
    error = (batch.encoder_input - expected).norm()
    assert error < 0.25 * (unmoved - expected).norm()


@pytest.mark.parametrize("steps", [20, 200])
def test_rate_of_a_table_is_a_step_an_epoch(steps: int) -> None:
    """However many steps an epoch has, an entry with one gradient in it moves as far."""
    rate = pose_rate(PosesConfig(step_degrees=0.5), steps)
    entry = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([entry], rate)
    for step in range(20 * steps):
        entry.grad = torch.ones(1) * (step % steps == 0)
        optimizer.step()
    assert -float(torch.rad2deg(entry.detach())) == pytest.approx(20 * 0.5, rel=0.35)


def run(
    trainer_of: PreparedFrames, run_dir: Path, config: RunConfig, stop_at: int | None = None
) -> Trainer:
    def interrupt(stage: str, done: int, total: int, terms: dict) -> None:
        if done == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    run_dir.mkdir(exist_ok=True)
    trainer = Trainer(config, trainer_of, trainer_of.movies, run_dir, interrupt)
    if (run_dir / "checkpoint").is_dir():
        trainer.restore()
    if stop_at is None:
        trainer.fit()
    else:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit()
    return trainer


def assert_same_weights(found: MovieVAE, expected: MovieVAE) -> None:
    state = expected.state_dict()
    assert "poses.turns" in state
    assert found.state_dict().keys() == state.keys()
    for name, value in found.state_dict().items():
        assert value.equal(state[name]), name


@pytest.mark.parametrize("stop_at", [1, 5, 7])
def test_run_that_was_stopped_ends_as_one_that_was_not(tiny, tmp_path: Path, stop_at) -> None:
    _, frames = tiny
    config = configure("tempor", init="static", epochs=5, pretrain_epochs=2, warmup_epochs=1)
    whole = run(frames, tmp_path / "whole", config)
    run(frames, tmp_path / "run", config, stop_at)
    resumed = run(frames, tmp_path / "run", config)
    assert_same_weights(resumed.model, whole.model)
    assert whole.model.poses is not None
    assert float(whole.model.poses.turns.detach().abs().max()) > 1e-3
    latents = infer_all(whole.model, frames), infer_all(resumed.model, frames)
    assert latents[0].mean.equal(latents[1].mean)


@pytest.fixture(scope="module")
def off(tmp_path_factory) -> Path:
    """Movies whose poses are written 6° and 3 Å off."""
    path = tmp_path_factory.mktemp("off") / "movies"
    errors = ("poses.error_degrees=6", "poses.shift_error_angstrom=3")
    succeed("simulate", "toy", "-o", path, *settings((*TINY_SIMULATION, *errors)))
    return path


@pytest.mark.parametrize("poses", ["refine", "estimate"])
def test_run_has_the_poses_of_its_end_with_their_spread(off: Path, tmp_path: Path, poses) -> None:
    few = ("poses.starts=1", "poses.iterations=1", "poses.motion_iterations=0")
    learned = ("poses.learned=table", "poses.step_degrees=2", "data.held_out_fraction=0.4")
    options = ("-o", tmp_path / "run", "--method", "tempor", "--poses", poses)
    succeed("reconstruct", off, *options, *settings((*TINY_TRAINING, *few, *learned)))
    loaded = load_run(tmp_path / "run")
    given = read_star(off / "particles.star")["particles"]
    table = read_star(tmp_path / "run" / "frames.star")["frames"]
    moved = np.abs(table.floats("rlnAngleTilt") - given.floats("rlnAngleTilt"))
    assert (tmp_path / "run" / "poses").exists() == (poses == "estimate")  # who searched
    if poses == "refine":  # movies that are held out keep their poses
        assert moved[loaded.held_out].max() < 1e-3
    assert moved[~loaded.held_out].min() > 1e-3
    assert (table.floats("temporemAngleSd") > 0).all()
    assert (table.floats("temporemOriginSdAngst") > 0).all()
    assert "Pose error, median (°)" in succeed("evaluate", tmp_path / "run")


@pytest.mark.parametrize(
    ("method", "source", "more", "learned", "searches"),
    [
        ("tempor", "refine", {}, "table", False),
        ("static", "refine", {}, "table", False),
        ("tempor", "refine", {"data": {"held_out_fraction": 0.1}}, "none", True),
        ("tempor", "refine", {"poses": {"diffusion": "auto"}}, "none", True),
        ("tempor", "refine", {"poses": {"learned": "none"}}, "none", True),
        ("tempor", "estimate", {}, "table", True),
        ("static", "estimate", {}, "table", True),
        ("tempor", "estimate", {"data": {"held_out_fraction": 0.1}}, "none", True),
        ("tempor", "estimate", {"poses": {"diffusion": "auto"}}, "none", True),
        ("tempor", "estimate", {"poses": {"learned": "none"}}, "none", True),
        ("homogeneous", "estimate", {}, "none", True),
        ("linear", "refine", {}, "none", True),
        ("tempor", "known", {}, "none", False),
    ],
)
def test_what_finds_poses(method, source, more, learned, searches) -> None:
    more = more | {"poses": {"source": source, **more.get("poses", {})}}
    config = build_config({"method": method, **more}, source="test")
    assert (config.learned_poses, config.searches_poses) == (learned, searches)


def test_known_poses_are_not_learned(off: Path, tmp_path: Path) -> None:
    result = command("reconstruct", off, "-o", tmp_path / "run", "--set", "poses.learned=table")
    assert result.code == 2
    assert "poses.learned=table needs --poses refine or estimate" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["linear", "homogeneous"])
def test_methods_without_a_network_do_not_learn_poses(off: Path, tmp_path: Path, method) -> None:
    options = ("-o", tmp_path / "run", "--method", method)
    result = command("reconstruct", off, *options, "--set", "poses.learned=table")
    assert result.code == 2
    assert f"poses.learned=table needs --method static or tempor, and the method is {method}" in (
        result.err
    )
    assert not (tmp_path / "run").exists()
