"""Half sets of a run as runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.commands import settings, succeed
from temporem.errors import TemporemError
from temporem.io.mrc import read_volume
from temporem.runs.half_runs import has_half_runs, read_half_runs
from temporem.runs.run import load_run


@pytest.fixture(scope="module")
def homogeneous(tiny_dataset: Path, tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("half") / "run"
    succeed("reconstruct", tiny_dataset, "-o", path, "--method", "homogeneous")
    return path


def test_half_maps_are_one_volume_for_all_frames(homogeneous: Path) -> None:
    run = load_run(homogeneous)
    halves = read_half_runs(run)
    assert not halves.moving
    for number, half in enumerate(halves.runs, start=1):
        wanted = read_volume(homogeneous / f"half{number}.mrc", 16)
        found = half.voxels(np.array([0, run.n_frames - 1]))
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(found[0], wanted, atol=0.05 * scale)  # without the corners
        np.testing.assert_array_equal(found[0], found[1])
    mean = np.mean([half.voxels(np.array([0]))[0] for half in halves.runs], axis=0)
    whole = run.voxels(np.array([0]))[0]
    assert np.corrcoef(mean.ravel(), whole.ravel())[0, 1] > 0.95


@pytest.mark.integration
def test_trained_halves_have_volumes_and_latents_of_their_own(tmp_path: Path) -> None:
    few = ("movies=8", "frames_per_movie=3", "box=16", "pixel_size_angstrom=8", "snr=3")
    succeed("simulate", "toy", "-o", tmp_path / "movies", *settings(few))
    path, quick = tmp_path / "run", settings(("linear.components=1", "linear.iterations=1"))
    succeed("reconstruct", tmp_path / "movies", "-o", path, "--method", "linear", *quick)
    run = load_run(path)
    assert not read_half_runs(run).moving
    succeed("validate", path, "--half-sets")
    halves = read_half_runs(run)
    assert halves.moving
    first, second = halves.runs
    assert first.latents is not None
    assert not np.array_equal(first.latents, second.latents)
    for half in halves.runs:
        frames = half.voxels(np.arange(3))
        whole = run.voxels(np.arange(3))
        assert np.corrcoef(frames.ravel(), whole.ravel())[0, 1] > 0.9


def test_run_without_halves_says_how_to_make_them(tiny_runs: dict[str, Path]) -> None:
    run = load_run(tiny_runs["static"])
    assert not has_half_runs(run.path)
    with pytest.raises(TemporemError, match=r"temporem validate .* --half-sets"):
        read_half_runs(run)
