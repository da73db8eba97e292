"""Poses read off images by a head on the encoder: what it is made of, and runs that learn it."""

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
from temporem.dvae.learned_poses import learned_poses
from temporem.dvae.stages import plan_stages
from temporem.dvae.training import Trainer, infer_all
from temporem.frames.frame_noise import FrameNoise
from temporem.frames.frames import PreparedFrames, prepare_frames
from temporem.io.star import read_star
from temporem.physics.pixel_sample import PixelSample
from temporem.physics.rotations import geodesic_degrees
from temporem.poses.head import PoseHead, twin_image
from temporem.runs.config import PosesConfig, RunConfig, TrainingConfig

SMALL = ModelConfig(
    encoder_width=16,
    encoder_depth=1,
    encoder_input="image",
    mean_volume=False,
    rnn_width=8,
    generator_width=16,
    generator_depth=1,
    generator_features=16,
)
OPTIONS = ("poses.learned=head", "model.encoder_input=image", "model.mean_volume=false")


def configure(method="static", **training) -> RunConfig:
    values = {"epochs": 4, "frames_per_step": 8, "precision": "float32", "device": "cpu"}
    values |= {"init": "static"} if method == "tempor" else {}
    return RunConfig(
        method=method,
        model=SMALL,
        training=TrainingConfig(**(values | training)),
        poses=PosesConfig(source="estimate", learned="head"),
    )


def prepare(blobs: BlobMovies, config: RunConfig) -> PreparedFrames:
    data = blobs.dataset.without_poses()
    cpu = torch.device("cpu")
    return prepare_frames(data, config.data, "image", data.movies, cpu, posed=False)


@pytest.fixture(scope="module")
def tiny() -> tuple[BlobMovies, PreparedFrames]:
    blobs = simulate_blobs([4, 3, 5, 4], box=12, snr=2.0, shift_sd_angstrom=2.0)
    return blobs, prepare(blobs, configure())


# --- the head ---


def test_head_gives_proper_rotations_that_differ_between_frames() -> None:
    torch.manual_seed(0)
    head = PoseHead(32, 4.0)
    with torch.no_grad():
        posterior = head(torch.relu(torch.randn(50, 32)))
    rotations = posterior.rotations
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(50, 3, 3))
    assert (torch.linalg.det(rotations) > 0.99).all()
    assert float(geodesic_degrees(rotations[1:], rotations[:-1]).min()) > 0.1
    assert (posterior.kl() > 0).all()


def test_frame_and_frame_turned_in_its_plane_have_poses_that_are_twins(
    tiny, tmp_path: Path
) -> None:
    """A frame turned by 180° in its plane is X(−k), and so is any volume seen from its twin."""
    _, frames = tiny
    model = Trainer(configure(), frames, frames.movies, tmp_path).model
    support = frames.forward_model.support
    others = PixelSample(torch.arange(1, len(support)), support.weights[1:])  # than the origin
    batch = frames.batch(frames.movies).at(others)
    turned = replace(
        batch, encoder_input=twin_image(batch.encoder_input), images=batch.images.conj()
    )
    assert twin_image(turned.encoder_input).equal(batch.encoder_input)
    first, second = model.pose_posteriors(batch)
    turned_first, turned_second = model.pose_posteriors(turned)
    z = torch.zeros(len(batch.rows), 1)
    for posterior, other in ((first, turned_second), (second, turned_first)):
        images = [
            model.render(replace(b, rotations=p.rotations, shifts=p.shifts_angstrom), z)
            for b, p in ((batch, posterior), (turned, other))
        ]
        torch.testing.assert_close(images[1], images[0].conj(), rtol=1e-3, atol=1e-4)
    # So both frames are explained equally well, by poses that are each other's twins.
    scores, turned_scores = model.scored(batch, z), model.scored(turned, z)
    torch.testing.assert_close(scores[0], turned_scores[0], rtol=1e-4, atol=1e-3)
    assert scores[2].equal(1 - turned_scores[2])
    assert 0 < int(scores[2].sum()) < len(z)


def test_better_of_both_counts(tiny, tmp_path: Path) -> None:
    _, frames = tiny
    model = Trainer(configure(), frames, frames.movies, tmp_path).model
    batch = frames.batch(frames.movies)
    z = torch.zeros(len(batch.rows), 1)
    values = []
    for posterior in model.pose_posteriors(batch):
        placed = replace(batch, rotations=posterior.rotations, shifts=posterior.shifts_angstrom)
        likelihood = model.log_likelihood(placed, model.render(placed, z))
        values.append(likelihood - posterior.kl())
    likelihood, kl, _ = model.scored(batch, z)
    torch.testing.assert_close(likelihood - kl, torch.stack(values).amax(0))


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_gradient_reaches_every_parameter_and_evaluation_is_deterministic(
    tiny, tmp_path: Path, method: str
) -> None:
    _, frames = tiny
    config = configure(method, **({"pretrain_epochs": 0} if method == "tempor" else {}))
    model = Trainer(config, frames, frames.movies, tmp_path).model
    assert model.kind == method
    batch = frames.batch(frames.movies)
    bound = model.bound(batch, FrameNoise(torch.Generator().manual_seed(0)))
    (bound.kl + bound.pose_kl - bound.log_likelihood).mean().backward()
    assert any(name.startswith("poses.") for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    with torch.no_grad():
        first, second = model.bound(batch), model.bound(batch)
        drawn = model.bound(batch, FrameNoise(torch.Generator().manual_seed(0)))
    for name in ("log_likelihood", "kl", "pose_kl"):
        assert getattr(first, name).equal(getattr(second, name))
    assert not torch.allclose(drawn.log_likelihood, first.log_likelihood)


# --- runs ---


def test_poses_are_learned_before_latents_are() -> None:
    plan = [(s.name, s.kind, s.epochs) for s in plan_stages(configure(epochs=16))]
    assert plan == [("poses", "static", 4), ("static", "static", 12)]
    plan = [(s.name, s.kind, s.epochs) for s in plan_stages(configure("tempor", epochs=16))]
    static = [("poses", "static", 4), ("static", "static", 4)]
    assert plan == [*static, ("warm-up", "tempor", 2), ("tempor", "tempor", 6)]


def test_latents_are_at_rest_while_poses_are_learned(tiny, tmp_path: Path) -> None:
    _, frames = tiny
    trainer = Trainer(configure(epochs=4), frames, frames.movies, tmp_path)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}

    def stop(stage: str, done: int, total: int, terms: dict) -> None:
        assert stage == "poses"
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    trainer.progress = stop
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    for name, value in trainer.model.state_dict().items():
        learned = name.startswith(("poses.", "extractor.", "generator.mlp", "generator.condition"))
        assert value.equal(before[name]) != learned, name


@pytest.mark.parametrize("stop_at", [1, 5, 9])
def test_run_that_was_stopped_ends_as_one_that_was_not(tiny, tmp_path: Path, stop_at) -> None:
    blobs, frames = tiny
    config = configure("tempor", epochs=6, pretrain_epochs=3, warmup_epochs=1)

    def interrupt(stage: str, done: int, total: int, terms: dict) -> None:
        if done == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    (tmp_path / "whole").mkdir()
    (tmp_path / "run").mkdir()
    whole = Trainer(config, frames, frames.movies, tmp_path / "whole").fit()
    with pytest.raises(KeyboardInterrupt):
        Trainer(config, frames, frames.movies, tmp_path / "run", interrupt).fit()
    resumed = Trainer(config, frames, frames.movies, tmp_path / "run")
    resumed.restore()
    again = resumed.fit()
    for name, value in again.state_dict().items():
        assert value.equal(whole.state_dict()[name]), name
    poses = [
        learned_poses(m, frames, blobs.dataset.without_poses(), infer_all(m, frames).mean)
        for m in (whole, again)
    ]
    assert poses[0].rotations.equal(poses[1].rotations)
    assert poses[0].shifts_angstrom.equal(poses[1].shifts_angstrom)


def test_run_without_poses_ends_with_poses_and_looks_at_none(tmp_path: Path) -> None:
    """The same run whether the dataset has poses or not; each evaluated after alignment."""
    for name, written in (("with", "true"), ("without", "false")):
        options = settings((*TINY_SIMULATION, f"poses.written={written}"))
        succeed("simulate", "toy", "-o", tmp_path / name, *options)
        run = ("-o", tmp_path / f"run-{name}", "--method", "static", "--poses", "estimate")
        succeed("reconstruct", tmp_path / name, *run, *settings((*TINY_TRAINING, *OPTIONS)))
    tables = [
        read_star(tmp_path / f"run-{name}" / "frames.star")["frames"]
        for name in ("with", "without")
    ]
    for column in ("rlnAngleTilt", "rlnOriginXAngst", "temporemAngleSd", "temporemOriginSdAngst"):
        np.testing.assert_array_equal(*(table.floats(column) for table in tables))
    assert tables[0].floats("rlnAngleTilt").std() > 0.01
    assert (tables[0].floats("temporemAngleSd") > 0).all()
    assert not (tmp_path / "run-with" / "poses").exists()  # nothing was searched
    assert np.isfinite(load_run(tmp_path / "run-with").voxels(np.arange(2))).all()
    assert "Pose error, median (°)" in succeed("evaluate", tmp_path / "run-without")


@pytest.mark.parametrize(
    ("more", "lacking"),
    [
        (("model.mean_volume=false",), "it needs model.encoder_input=image"),
        (("model.encoder_input=image",), "it needs model.mean_volume=false"),
        ((), "it needs model.encoder_input=image, model.mean_volume=false"),
    ],
)
def test_head_says_what_it_cannot_do_without(tiny_dataset, tmp_path, more, lacking) -> None:
    options = ("-o", tmp_path / "run", "--method", "static", "--poses", "estimate")
    given = settings(("poses.learned=head", *more))
    result = command("reconstruct", tiny_dataset, *options, *given)
    assert result.code == 2
    assert lacking in result.err
    assert not (tmp_path / "run").exists()


def test_head_replaces_the_search_and_no_other_poses(tiny_dataset, tmp_path) -> None:
    for poses, method, message in (
        ("known", "static", "it needs poses.source=estimate"),
        ("estimate", "tempor", "it needs training.init=static"),
        ("estimate", "linear", "needs --method static or tempor"),
    ):
        options = ("-o", tmp_path / "run", "--method", method, "--poses", poses)
        result = command("reconstruct", tiny_dataset, *options, *settings(OPTIONS))
        assert result.code == 2
        assert message in result.err
