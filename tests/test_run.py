"""Runs from Python: splits, resumption after a hard kill, reading back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from command_line import TINY_TRAINING
from temporem.data.settings import apply_overrides
from temporem.data.stack import open_stack, write_stack
from temporem.errors import TemporemError
from temporem.report.collect import read_metrics
from temporem.training.config import RunConfig, build_config
from temporem.training.run import reconstruct, split_movies
from temporem.training.run_files import is_finished, is_run, load_run

MOVIES = [np.arange(4 * i, 4 * i + 4) for i in range(20)]


def config(dataset, *overrides: str) -> RunConfig:
    settings = apply_overrides({"dataset": str(dataset)}, (*TINY_TRAINING, *overrides))
    return build_config(settings, source="test")


def test_split_is_a_partition_that_the_seed_decides() -> None:
    training, held_out = split_movies(MOVIES, 0.25, seed=1)
    assert (len(training), len(held_out)) == (15, 5)
    assert sorted(np.concatenate([*training, *held_out])) == list(range(80))
    again = split_movies(MOVIES, 0.25, seed=1)
    assert [movie[0] for movie in again[1]] == [movie[0] for movie in held_out]
    other = split_movies(MOVIES, 0.25, seed=2)
    assert [movie[0] for movie in other[1]] != [movie[0] for movie in held_out]


def test_any_wish_to_hold_out_holds_out_a_movie_and_none_holds_out_none() -> None:
    assert len(split_movies(MOVIES, 1e-6, seed=0)[1]) == 1
    assert split_movies(MOVIES, 0.0, seed=0)[1] == []
    with pytest.raises(TemporemError, match="1 of 20 movies would be left"):
        split_movies(MOVIES, 0.95, seed=0)
    with pytest.raises(TemporemError, match="add movies"):
        split_movies(MOVIES[:1], 0.0, seed=0)


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", ["static", "tempor"])
@pytest.mark.parametrize(("at_step", "checkpoint_seconds"), [(1, 0), (6, 0), (6, 1000)])
def test_killed_run_resumes_to_the_same_end(
    method, at_step, checkpoint_seconds, tiny_dataset, tmp_path
) -> None:
    """Killed before the first checkpoint, after one, and when the metrics are ahead of it."""
    interval = f"training.checkpoint_seconds={checkpoint_seconds}"
    settings = config(tiny_dataset, f"method={method}", interval)
    whole = reconstruct(settings, tmp_path / "whole")

    def kill(stage: str, done: int, total: int, terms: dict[str, float]) -> None:
        if done == at_step:
            raise Killed

    with pytest.raises(Killed):
        reconstruct(settings, tmp_path / "killed", progress=kill)
    assert is_run(tmp_path / "killed")
    assert not is_finished(tmp_path / "killed")
    killed = reconstruct(settings, tmp_path / "killed", resume=True)
    assert (killed / "frames.star").read_bytes() == (whole / "frames.star").read_bytes()
    assert [record["epoch"] for record in read_metrics(killed)] == [1, 2, 3, 4]


def test_held_out_movies_teach_nothing(tiny_dataset, tmp_path) -> None:
    """Held-out images change nothing of the volume; training images do."""

    def volume(dataset: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
        settings = config(dataset, "method=homogeneous", "data.held_out_fraction=0.2")
        run = load_run(reconstruct(settings, tmp_path / name))
        return run.voxels(np.array([0]))[0], run.held_out

    def mirrored(rows: np.ndarray, name: str) -> Path:
        """The dataset with some images upside down: the same noise, another molecule."""
        path = shutil.copytree(tiny_dataset, tmp_path / name)
        images = np.array(open_stack(path / "particles.mrcs").images)
        images[rows] = images[rows][:, ::-1]
        write_stack(path / "particles.mrcs", [images], 8.0)
        return path

    before, held_out = volume(tiny_dataset, "run")
    scale = np.abs(before).max()
    other, _ = volume(mirrored(held_out, "movies2"), "run2")
    assert np.abs(other - before).max() < 1e-5 * scale
    other, _ = volume(mirrored(~held_out, "movies3"), "run3")
    assert np.abs(other - before).max() > 0.1 * scale


def test_rows_of_a_movie_are_in_order_of_time(tiny_runs) -> None:
    run = load_run(tiny_runs["static"])
    assert run.rows_of_movie("movie_3").tolist() == [8, 9, 10, 11]
    run.frame_numbers[8:12] = [4, 2, 3, 1]
    assert run.rows_of_movie("movie_3").tolist() == [11, 9, 10, 8]
