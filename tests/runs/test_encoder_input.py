"""The input of a network's encoder in the settings of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.bad_input import refuse
from helpers.commands import TINY_NETWORK, settings
from temporem.errors import TemporemError
from temporem.runs.config import build_config, load_run_settings


@pytest.mark.parametrize("method", ["tempor", "static"])
def test_the_linear_input_without_a_linear_model_is_refused(
    method: str, tiny_dataset: Path, tmp_path: Path
) -> None:
    values = settings((*TINY_NETWORK, "model.encoder_input=linear"))
    said = refuse(
        tmp_path, "reconstruct", tiny_dataset, "-o", tmp_path / "run", "--method", method, *values
    )
    assert "model.encoder_input=linear needs training.start=linear, not none" in said
    assert said.count("encoder_input") == 1


def test_the_linear_input_does_not_follow_a_static_model() -> None:
    changes = {"model": {"encoder_input": "linear"}, "training": {"start": "static"}}
    with pytest.raises(TemporemError, match=r"needs training\.start=linear, not static"):
        build_config({"method": "tempor", **changes}, source="test")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "linear"),
        ({"training": {"start": "none"}}, "back-projection"),
        ({"training": {"start": "static"}}, "back-projection"),
        ({"model": {"encoder_input": "image"}}, "image"),
        ({"model": {"encoder_input": "back-projection"}}, "back-projection"),
        ({"model": {"encoder_input": "linear"}}, "linear"),
    ],
)
def test_the_input_follows_the_start(changes: dict, expected: str) -> None:
    assert build_config({"method": "tempor", **changes}, source="test").encoder_input == expected


@pytest.mark.parametrize(
    ("encoder_input", "moving"), [("auto", True), ("back-projection", True), ("image", False)]
)
def test_inputs_move_with_poses_that_are_learned_unless_they_are_images(
    encoder_input: str, moving: bool
) -> None:
    changes = {"poses": {"source": "refine"}, "model": {"encoder_input": encoder_input}}
    config = build_config({"method": "tempor", **changes}, source="test")
    assert config.learned_poses == "table"
    assert config.moving_poses == moving


def test_the_paper_shows_images_of_whole_movies() -> None:
    config = build_config({"method": "tempor", **load_run_settings("paper.yaml")}, source="test")
    assert config.encoder_input == "image"
    assert not config.training.random_clips
    assert build_config({"method": "tempor"}, source="test").training.random_clips
