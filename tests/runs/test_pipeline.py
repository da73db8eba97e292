"""Runs from Python: splits, resumption after a hard kill, reading back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from temporem.runs.run_files import is_finished, is_run, load_run

from helpers.commands import TINY_TRAINING
from temporem.errors import TemporemError
from temporem.io.files import held
from temporem.io.mrc import open_stack, write_stack
from temporem.io.settings import apply_overrides
from temporem.report.collect import read_metrics
from temporem.runs.config import RunConfig, build_config
from temporem.runs.pipeline import reconstruct, split_movies

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
        images = open_stack(path / "particles.mrcs").read()
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
    assert run.rows_of_movie("movie_0003").tolist() == [8, 9, 10, 11]
    run.frame_numbers[8:12] = [4, 2, 3, 1]
    assert run.rows_of_movie("movie_0003").tolist() == [11, 9, 10, 8]


# --- continuing with what a run was started with ---


@pytest.fixture
def stopped(tiny_dataset, tmp_path) -> tuple[RunConfig, Path]:
    """A static run that was stopped after six steps, on a copy of the dataset."""
    dataset = Path(shutil.copytree(tiny_dataset, tmp_path / "movies"))
    settings = config(dataset, "method=static", "training.checkpoint_seconds=0")

    def kill(stage: str, done: int, total: int, terms: dict[str, float]) -> None:
        if done == 6:
            raise Killed

    with pytest.raises(Killed):
        reconstruct(settings, tmp_path / "run", progress=kill)
    return settings, tmp_path / "run"


def change_images(dataset: Path) -> None:
    images = open_stack(dataset / "particles.mrcs").read()
    write_stack(dataset / "particles.mrcs", [images[:, ::-1]], 8.0)


def change_order(dataset: Path) -> None:
    lines = (dataset / "particles.star").read_text().splitlines()
    rows = [i for i, line in enumerate(lines) if "@particles.mrcs" in line]
    lines[rows[0]], lines[rows[-1]] = lines[rows[-1]], lines[rows[0]]
    (dataset / "particles.star").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("change", [change_images, change_order])
def test_run_is_not_continued_with_another_dataset(change, stopped) -> None:
    settings, run = stopped
    change(Path(settings.dataset))
    with pytest.raises(TemporemError, match=r"is not what .* was started with"):
        reconstruct(settings, run, resume=True)
    assert not is_finished(run)


def test_run_is_continued_where_the_dataset_has_moved_to(stopped, tiny_dataset, tmp_path) -> None:
    settings, run = stopped
    whole = reconstruct(config(tiny_dataset, *("method=static",)), tmp_path / "whole")
    there = shutil.move(settings.dataset, tmp_path / "there")
    moved = settings.model_copy(update={"dataset": str(there)})
    assert reconstruct(moved, run, resume=True) == run
    assert load_run(run).config.dataset == str(there)
    np.testing.assert_array_equal(load_run(run).latents, load_run(whole).latents)


def test_run_without_a_record_of_its_dataset_is_not_continued(stopped) -> None:
    settings, run = stopped
    (run / "dataset.sha256").unlink()
    with pytest.raises(TemporemError, match="cannot be known again"):
        reconstruct(settings, run, resume=True)


def test_run_that_is_being_written_is_left_alone(stopped, tmp_path) -> None:
    """By another process, or by what looks like one: locks are of open files."""
    settings, run = stopped
    with held(run), pytest.raises(TemporemError, match="is being written by another process"):
        reconstruct(settings, run, resume=True)
    refused = []

    def again(stage: str, done: int, total: int, terms: dict[str, float]) -> None:
        if not refused:
            with pytest.raises(TemporemError, match="is being written") as error:
                reconstruct(settings, tmp_path / "new", resume=True)
            refused.append(error)

    reconstruct(settings, tmp_path / "new", progress=again)
    assert refused
    assert is_finished(reconstruct(settings, run, resume=True))


def test_links_in_a_run_are_not_written_through(stopped, tmp_path) -> None:
    settings, run = stopped
    (tmp_path / "thesis.tex").write_text("all of it")
    (run / "frames.star.old").symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(TemporemError, match="is a link, and nothing is written through it"):
        reconstruct(settings, run, resume=True)
    assert (tmp_path / "thesis.tex").read_text() == "all of it"


@pytest.mark.parametrize(
    ("name", "value"),
    [("stage", -1), ("epoch", 10**9), ("step", "1"), ("seconds", -1), ("rate", None), ("terms", 0)],
)
def test_state_that_cannot_be_is_refused(name, value, stopped) -> None:
    settings, run = stopped
    path = run / "checkpoint" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(TemporemError, match="checkpoint of"):
        reconstruct(settings, run, resume=True)


@pytest.mark.parametrize("line", [b"{]}\n", b"{}\n", b"\xff}\n", b"[1]}\n"])
def test_damaged_metrics_are_one_clear_line(line, stopped) -> None:
    settings, run = stopped
    (run / "metrics.jsonl").write_bytes(line)
    with pytest.raises(TemporemError, match=r"metrics\.jsonl: a line is not of this run"):
        reconstruct(settings, run, resume=True)


def test_run_that_holds_its_dataset_is_not_replaced(tiny_dataset, tmp_path) -> None:
    run = reconstruct(config(tiny_dataset, "method=homogeneous"), tmp_path / "run")
    inside = shutil.copytree(tiny_dataset, run / "movies")
    with pytest.raises(TemporemError, match="which is read, so it is not replaced"):
        reconstruct(config(inside, "method=homogeneous"), run, overwrite=True)
    assert (inside / "particles.star").exists()
    assert is_finished(run)
