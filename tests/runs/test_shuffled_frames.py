"""Runs that take frames in random order: a null for what time tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.blobs import simulate_blobs
from helpers.commands import settings, succeed
from temporem.frames.dataset import write_dataset
from temporem.frames.readers import read_dataset
from temporem.runs.config import build_config
from temporem.runs.held_out import movies_of_run
from temporem.runs.persistence import read_metrics
from temporem.runs.run import load_run

pytestmark = pytest.mark.integration

BLOBS = simulate_blobs([8] * 24, box=12, snr=0.1)
QUICK = ("linear.iterations=1",)


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> Path:
    """Movies on disk in which a blob moves steadily, one of them with a gap."""
    path, data = tmp_path_factory.mktemp("blobs") / "movies", BLOBS.dataset
    path.mkdir()
    numbers = data.frame_numbers.copy()
    numbers[-1] += 2
    write_dataset(
        path,
        images=data.images,
        pixel_size_angstrom=data.pixel_size_angstrom,
        poses=data.poses,
        ctf=data.ctf,
        particle_names=data.particle_names,
        frame_numbers=numbers,
    )
    return path


@pytest.fixture(scope="module")
def both(movies: Path, tmp_path_factory) -> tuple[Path, Path]:
    """The linear model in the true order, and in a random one."""
    folder, found = tmp_path_factory.mktemp("runs"), []
    for name, more in (("ordered", ()), ("shuffled", ("--shuffle-frames",))):
        arguments = ("-o", folder / name, "--method", "linear", *settings(QUICK), *more)
        said = succeed("reconstruct", movies, *arguments)
        assert ("in random order (--shuffle-frames)" in said) == (name == "shuffled")
        assert "nats per frame" in said
        found.append(folder / name)
    return found[0], found[1]


def test_movies_that_were_left_out_are_less_likely_without_time(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    found = [max(read_metrics(run, "linear")[0]["held_out_log_likelihood"]) for run in both]
    assert found[1] < found[0] - 0.11  # 0.2, of which the share ⟨w²⟩ counts
    for run, value in zip(both, found, strict=True):
        succeed("report", run, "-o", tmp_path / f"{run.name}.html")
        shown = f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
        assert shown in (tmp_path / f"{run.name}.html").read_text()


def test_a_run_records_the_order_and_keeps_frames_in_their_rows(
    both: tuple[Path, Path], movies: Path
) -> None:
    data = read_dataset(movies)
    ordered, shuffled = (load_run(run) for run in both)
    assert not ordered.config.data.shuffle_frames
    assert shuffled.config.data.shuffle_frames
    for run in (ordered, shuffled):
        run.require_frames_of(data)
        np.testing.assert_allclose(run.poses.rotations, data.poses.rotations, atol=1e-5)
    np.testing.assert_array_equal(shuffled.rows_of_movie("movie0"), ordered.rows_of_movie("movie0"))
    assert (both[0] / "predicted.star").is_file()
    assert not (both[1] / "predicted.star").exists()  # there is no time between shuffled frames


def test_a_run_of_shuffled_frames_is_resumed_and_its_page_says_so(
    both: tuple[Path, Path], movies: Path, tmp_path: Path
) -> None:
    assert "finished" in succeed("reconstruct", movies, "-o", both[1], "--resume")
    succeed("report", *both, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Frames were taken in random order" in page
    assert "random in every movie" in page


def test_the_same_movies_are_held_out_in_either_order(movies: Path) -> None:
    data, held = read_dataset(movies), {"held_out_fraction": 0.25}
    ordered, shuffled = (
        movies_of_run(data, build_config({"data": {**held, **more}, "seed": 4}, source="test"))
        for more in ({}, {"shuffle_frames": True})
    )
    assert ordered[0] is data
    assert len(ordered[1]) == 18
    for mine, theirs in zip(ordered[1], shuffled[1], strict=True):
        assert sorted(mine) == sorted(theirs)
    assert any((a != b).any() for a, b in zip(ordered[1], shuffled[1], strict=True))
