"""Probes of trained encoders: a network that counts frames is found out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import settings, succeed
from temporem.dvae.infer import final_latents, infer_latents
from temporem.evaluation.metrics.latents import parameter_agreement
from temporem.evaluation.principal_axes import principal_axes
from temporem.frames.readers import read_dataset
from temporem.runs.config import build_config
from temporem.runs.probes import can_be_probed, probe_latents, trained_network
from temporem.runs.run import load_run

pytestmark = pytest.mark.integration

SYNCHRONISED = ("movies=24", "box=16", "pixel_size_angstrom=8", "snr=0.3")
NETWORK = (
    *("model.encoder_width=64", "model.rnn_width=32", "model.generator_width=32"),
    *("training.epochs=24", "linear.components=1"),
)
COUNTING = ("training.random_clips=false", "model.hidden_frames=0.5", "training.kl_weight=1")
"""Settings that let a network count."""


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> Path:
    """Noisy movies that all begin in nearly the same state."""
    path = tmp_path_factory.mktemp("synchronised") / "movies"
    succeed("simulate", "toy", "-o", path, *settings(SYNCHRONISED))
    return path


def evaluated(movies: Path, out: Path, method: str, more: tuple[str, ...] = ()) -> tuple[str, dict]:
    """What an evaluation prints, and its numbers of the angle."""
    succeed("reconstruct", movies, "-o", out, "--method", method, *settings(NETWORK + more))
    said = succeed("evaluate", out, "--every", "3")
    return said, json.loads((out / "evaluation.json").read_text())["counting"]["angle_degrees"]


def test_a_network_that_counts_frames_is_found_out(movies: Path, tmp_path: Path) -> None:
    said, found = evaluated(movies, tmp_path / "tempor", "tempor", COUNTING)
    real, blank, clock = found["r2"], found["blank_r2"]["value"], found["clock_r2"]["value"]
    assert clock > 0.95
    assert real > 0.4
    assert blank > real - 0.1
    assert found["shuffled_r2"]["value"] < real - 0.3
    assert f"{blank:.3f} from blank ones" in said
    assert "the latents can be had without a look at the images" in said


def test_the_static_model_knows_nothing_without_images(movies: Path, tmp_path: Path) -> None:
    said, found = evaluated(movies, tmp_path / "static", "static")
    assert found["blank_r2"]["value"] < 0.05
    assert found["shuffled_r2"]["value"] == pytest.approx(found["r2"], abs=1e-3)
    assert "from blank ones" in said
    assert "without a look at the images" not in said


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_the_network_is_the_one_of_the_run(tiny_runs, tiny_dataset: Path, method: str) -> None:
    run, data = load_run(tiny_runs[method]), read_dataset(tiny_dataset)
    assert run.latents is not None
    model, encoded = trained_network(run, data)
    again = final_latents(model, encoded, run.config.training).mean.numpy()
    np.testing.assert_allclose(again, run.latents, atol=1e-4 * np.abs(run.latents).max())
    assert can_be_probed(run.config) == (method == "static")
    if method == "tempor":  # its latents are found on a grid
        return
    probes = probe_latents(run, data)
    assert {name: values.shape for name, values in probes.items()} == {
        "blank": run.latents.shape,
        "shuffled": run.latents.shape,
    }
    np.testing.assert_allclose(probes["shuffled"], run.latents, atol=1e-4)
    assert np.ptp(probes["blank"]) < 1e-6


def test_learned_poses_are_part_of_what_the_encoder_sees(tmp_path: Path) -> None:
    path = tmp_path / "movies"
    off = ("movies=5", "frames_per_movie=4", "box=16", "pixel_size_angstrom=8", "snr=3")
    succeed("simulate", "toy", "-o", path, *settings((*off, "poses.error_degrees=6")))
    small = (*NETWORK[:3], "training.epochs=4", "training.start=none")
    options = ("--method", "tempor", "--poses", "refine", *settings(small))
    succeed("reconstruct", path, "-o", tmp_path / "run", *options)
    run = load_run(tmp_path / "run")
    assert run.config.learned_poses == "table"
    again = infer_latents(*trained_network(run, read_dataset(path))).mean.numpy()
    np.testing.assert_allclose(again, run.latents, atol=1e-4 * np.abs(run.latents).max())


@pytest.mark.parametrize(
    ("changes", "probed"),
    [
        ({"method": "tempor"}, False),
        ({"method": "tempor", "training": {"kl_weight": 1.0}}, True),
        ({"method": "static"}, True),
        ({"method": "static", "poses": {"source": "refine"}}, True),
        ({"method": "static", "poses": {"source": "estimate"}}, False),
        ({"method": "static", "poses": {"source": "estimate", "learned": "none"}}, True),
        ({"method": "clock"}, False),
        ({"method": "linear"}, False),
        ({"method": "homogeneous"}, False),
    ],
)
def test_only_networks_that_see_images_can_be_probed(changes, probed) -> None:
    assert can_be_probed(build_config(changes, source="test")) == probed


def test_the_frame_number_tells_the_state_only_where_movies_run_in_step(movies: Path) -> None:
    """Of the data alone, by the definition of the latent R²."""
    from temporem.simulation.truth import read_truth

    truth = read_truth(movies)
    rows = np.concatenate(truth.movies)
    movie = np.repeat(np.arange(24), 10)
    angle = truth.parameters[rows, 0].numpy()
    clock = principal_axes(truth.frame_numbers[rows, None].astype(float))
    assert parameter_agreement(clock, movie, angle)["r2"] > 0.98
    backwards = np.where(movie % 2, 90 - angle, angle)
    assert parameter_agreement(clock, movie, backwards)["r2"] < 0.1
