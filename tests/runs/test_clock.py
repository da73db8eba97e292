"""The method ``clock`` on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.commands import TINY_TRAINING, settings, succeed
from temporem.errors import TemporemError
from temporem.evaluation.storage import load_evaluation
from temporem.frames.readers import read_dataset
from temporem.runs.config import build_config
from temporem.runs.run import load_run


@pytest.fixture(scope="module")
def run(tiny_dataset: Path, tmp_path_factory) -> Path:
    """An evaluated run of the clock that begins with a linear model. Not to be changed."""
    path = tmp_path_factory.mktemp("clock") / "clock"
    quick = (*TINY_TRAINING, "linear.components=1", "linear.iterations=1")
    options = ("--method", "clock", *settings((*quick, "data.held_out_fraction=0.2")))
    succeed("reconstruct", tiny_dataset, "-o", path, *options)
    succeed("evaluate", path)
    return path


@pytest.mark.integration
def test_latents_follow_the_frame_number_alone(run: Path, tiny_dataset: Path) -> None:
    latents, data = load_run(run).latents, read_dataset(tiny_dataset)
    assert latents is not None
    of_movies = np.stack([latents[movie] for movie in data.movies])
    np.testing.assert_allclose(of_movies, np.broadcast_to(of_movies[0], of_movies.shape), atol=1e-5)
    assert np.ptp(of_movies[0]) > 0.1


@pytest.mark.integration
def test_other_commands_take_it_like_a_network(run: Path, tiny_runs, tmp_path: Path) -> None:
    compared = succeed("compare", tiny_runs["static"], run)
    assert "Latent R², angle" in compared
    succeed("report", tiny_runs["static"], run, "-o", tmp_path / "report.html")
    assert "clock" in (tmp_path / "report.html").read_text()
    succeed("export", run, "-o", tmp_path / "volumes", "--frames", "0,3")
    assert len(list((tmp_path / "volumes").glob("frame_*.mrc"))) == 2


@pytest.mark.integration
def test_its_encoder_sees_no_image_so_it_is_not_probed(run: Path) -> None:
    counting = load_evaluation(run)["counting"]["angle_degrees"]
    assert np.isnan(counting["blank_r2"])
    assert np.isnan(counting["shuffled_r2"])
    assert np.isfinite(counting["clock_r2"])


def test_a_static_start_is_refused() -> None:
    with pytest.raises(TemporemError, match=r"training.start=static needs --method tempor"):
        build_config({"method": "clock", "training": {"start": "static"}}, source="test")
