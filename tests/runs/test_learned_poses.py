"""Runs that learn poses with the network: which do, what they write, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.commands import (
    TINY_NETWORK,
    TINY_SIMULATION,
    command,
    settings,
    succeed,
)
from helpers.short_search import shorten_searches
from temporem.io.star import read_star
from temporem.runs.config import build_config
from temporem.runs.persistence import read_metrics
from temporem.runs.run import load_run

HEAD = ("poses.learned=head", "poses.head_images=300", "poses.effort=1")


@pytest.fixture(scope="module")
def off(tmp_path_factory) -> Path:
    """Movies whose poses are written 6° and 3 Å off."""
    path = tmp_path_factory.mktemp("off") / "movies"
    errors = ("poses.error_degrees=6", "poses.shift_error_angstrom=3")
    succeed("simulate", "toy", "-o", path, *settings((*TINY_SIMULATION, *errors)))
    return path


@pytest.mark.integration
@pytest.mark.parametrize("poses", ["refine", "estimate"])
def test_run_has_the_poses_of_its_end_with_their_spread(
    off: Path, tmp_path: Path, monkeypatch, poses
) -> None:
    shorten_searches(monkeypatch)
    learned = ("poses.effort=1", "poses.learned=table", "data.held_out_fraction=0.4")
    options = ("-o", tmp_path / "run", "--method", "tempor", "--poses", poses)
    succeed("reconstruct", off, *options, *settings((*TINY_NETWORK, *learned)))
    loaded = load_run(tmp_path / "run")
    given = read_star(off / "particles.star")["particles"]
    table = read_star(tmp_path / "run" / "frames.star")["frames"]
    moved = np.abs(table.floats("rlnAngleTilt") - given.floats("rlnAngleTilt"))
    searched = bool(read_metrics(tmp_path / "run", "poses"))
    assert searched == (poses == "estimate")
    if poses == "refine":  # held-out movies keep their poses
        assert moved[loaded.held_out].max() < 1e-3
    assert np.median(moved[~loaded.held_out]) > 0.02
    assert (table.floats("temporemAngleSd") > 0).all()
    assert (table.floats("temporemOriginSdAngst") > 0).all()
    assert "Pose error" in succeed("evaluate", tmp_path / "run")


@pytest.mark.integration
def test_head_looks_at_images_alone_and_its_poses_are_those_of_the_run(
    tmp_path: Path, monkeypatch
) -> None:
    shorten_searches(monkeypatch)
    for name, written in (("with", "true"), ("without", "false")):
        options = settings((*TINY_SIMULATION, f"poses.written={written}"))
        succeed("simulate", "toy", "-o", tmp_path / name, *options)
        run = ("-o", tmp_path / f"run-{name}", "--method", "static", "--poses", "estimate")
        succeed("reconstruct", tmp_path / name, *run, *settings((*TINY_NETWORK, *HEAD)))
    tables = [
        read_star(tmp_path / f"run-{name}" / "frames.star")["frames"]
        for name in ("with", "without")
    ]
    for column in ("rlnAngleTilt", "rlnOriginXAngst", "temporemAngleSd", "temporemOriginSdAngst"):
        np.testing.assert_array_equal(*(table.floats(column) for table in tables))
    assert tables[0].floats("rlnAngleTilt").std() > 0.01
    assert (tables[0].floats("temporemAngleSd") > 0).all()
    records = read_metrics(tmp_path / "run-with", "head")
    assert [record["step"] for record in records] == [3]
    states = {path.name for path in (tmp_path / "run-with" / "checkpoint").iterdir()}
    assert states == {"model.safetensors", "pose-head.safetensors"}
    assert "Pose error" in succeed("evaluate", tmp_path / "run-without")


@pytest.mark.parametrize(
    ("method", "source", "more", "learned", "searches"),
    [
        ("tempor", "refine", {}, "table", False),
        ("static", "refine", {}, "table", False),
        ("tempor", "refine", {"data": {"held_out_fraction": 0.1}}, "none", True),
        ("tempor", "refine", {"poses": {"diffusion": 100}}, "none", True),
        ("tempor", "refine", {"poses": {"learned": "none"}}, "none", True),
        ("tempor", "estimate", {}, "table", True),
        ("static", "estimate", {}, "table", True),
        ("tempor", "estimate", {"data": {"held_out_fraction": 0.1}}, "none", True),
        ("tempor", "estimate", {"poses": {"diffusion": 100}}, "none", True),
        ("tempor", "estimate", {"poses": {"learned": "none"}}, "none", True),
        ("homogeneous", "estimate", {}, "none", True),
        ("linear", "refine", {}, "none", True),
        ("linear", "estimate", {"poses": {"learned": "head"}}, "head", True),
        ("tempor", "estimate", {"poses": {"learned": "head"}}, "head", True),
        ("tempor", "known", {}, "none", False),
    ],
)
def test_poses_are_learned_or_searched(method, source, more, learned, searches) -> None:
    more = more | {"poses": {"source": source, **more.get("poses", {})}}
    config = build_config({"method": method, **more}, source="test")
    assert (config.learned_poses, config.searches_poses) == (learned, searches)


@pytest.mark.parametrize(
    ("options", "overrides", "message"),
    [
        ((), ("poses.learned=table",), "poses.learned=table needs --poses refine or estimate"),
        (
            ("--method", "linear"),
            ("poses.learned=table",),
            "poses.learned=table needs --method static or tempor, but the method is linear",
        ),
        (
            ("--method", "homogeneous"),
            ("poses.learned=table",),
            "poses.learned=table needs --method static or tempor, but the method is homogeneous",
        ),
        (
            ("--method", "static", "--poses", "known"),
            HEAD,
            "it needs --poses estimate, not known",
        ),
    ],
)
def test_learning_that_is_impossible_is_refused(
    tiny_dataset, tmp_path, options, overrides, message
) -> None:
    result = command(
        "reconstruct", tiny_dataset, "-o", tmp_path / "run", *options, *settings(overrides)
    )
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "run").exists()
