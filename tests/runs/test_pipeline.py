"""Runs from Python: what a run keeps of its beginning, and what it is continued with."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
import yaml

from helpers.bad_input import drop_ctf
from helpers.commands import TINY_NETWORK, TINY_SIMULATION, TINY_TRAINING, settings, succeed
from helpers.crash import crashes
from temporem.dvae.fit import fit_static, fit_tempor
from temporem.dvae.learned_poses import LearnedPoses
from temporem.errors import TemporemError
from temporem.frames.readers import read_dataset
from temporem.io.checkpoint import load_checkpoint
from temporem.io.files import held
from temporem.io.leftovers import adopt_leftovers
from temporem.io.mrc import open_stack, write_stack
from temporem.io.settings import apply_overrides
from temporem.progress import Progress
from temporem.runs.config import RunConfig, build_config
from temporem.runs.persistence import read_metrics
from temporem.runs.pipeline import reconstruct
from temporem.runs.run import is_finished, load_run, load_run_config

pytestmark = pytest.mark.integration


def config(dataset: Path, *overrides: str) -> RunConfig:
    chosen = apply_overrides({"dataset": str(dataset)}, overrides)
    return build_config(chosen, source="test")


def test_without_ctf_the_images_are_projections(tmp_path):
    """A file that says so, and a file without CTF with ``--ctf none``, give the same volume."""
    dataset = tmp_path / "movies"
    succeed("simulate", "toy", "-o", dataset, *settings((*TINY_SIMULATION, "ctf=none")))
    said = config(dataset, "method=homogeneous")
    first = load_run(reconstruct(said, tmp_path / "said"))
    drop_ctf(dataset)
    with pytest.raises(TemporemError, match="has no CTF"):
        reconstruct(said, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    told = config(dataset, "method=homogeneous", "data.ctf=none")
    second = load_run(reconstruct(told, tmp_path / "told"))
    mean = [mrcfile.read(run.path / "mean.mrc") for run in (first, second)]
    np.testing.assert_array_equal(*mean)
    assert "resolves the frames" in succeed("evaluate", second.path)


class Killed(Exception):
    pass


def when(done: float, act: Callable[[], object]) -> Progress:
    """Progress that acts once, when so much is done."""
    acted = []

    def show(fraction: float, note: str) -> None:
        if fraction >= done and not acted:
            acted.append(True)
            act()

    return Progress(show)


def die() -> None:
    raise Killed


def test_held_out_movies_teach_nothing(tiny_dataset, tmp_path) -> None:
    """Held-out images change nothing of the volume; training images do."""

    def volume(dataset: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
        chosen = config(dataset, "method=homogeneous", "data.held_out_fraction=0.2")
        run = load_run(reconstruct(chosen, tmp_path / name))
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


@pytest.mark.parametrize(
    "overrides",
    [
        ("method=homogeneous",),
        ("method=linear", "linear.components=1", "linear.iterations=2"),
        ("method=tempor", *TINY_TRAINING, "linear.components=1", "linear.iterations=1"),
    ],
    ids=lambda overrides: overrides[0],
)
def test_progress_rises_from_the_beginning_to_the_end(overrides, tiny_dataset, tmp_path) -> None:
    told: list[tuple[float, str]] = []
    progress = Progress(lambda fraction, note: told.append((fraction, note)))
    reconstruct(config(tiny_dataset, *overrides), tmp_path / "run", progress=progress)
    fractions = np.array([fraction for fraction, _ in told])
    assert (np.diff(fractions) >= 0).all()
    assert fractions[-1] == 1
    if overrides[0] != "method=homogeneous":
        assert fractions[0] < 0.2
        assert np.diff(fractions).max() < 0.35
        assert told[0][1].startswith("linear")


# --- on disk and in memory ---


@pytest.mark.parametrize(
    ("method", "start", "learned"),
    [("tempor", "linear", False), ("static", "none", True)],
)
def test_a_run_is_the_fit_in_memory(method, start, learned, tiny_dataset, tmp_path) -> None:
    """To the last bit: warm start, encoder input, training and inference are the same."""
    overrides = (f"method={method}", *TINY_TRAINING, f"training.start={start}")
    if learned:
        overrides += ("poses.learned=table", "poses.source=refine")
    chosen = config(tiny_dataset, *overrides)
    run = reconstruct(chosen, tmp_path / "run")
    fit_network = {"tempor": fit_tempor, "static": fit_static}[method]
    fit = fit_network(
        read_dataset(tiny_dataset),
        network=chosen.model,
        training=chosen.training,
        learned=LearnedPoses() if learned else None,
        precision="float32",
    )
    loaded = load_run(run)
    np.testing.assert_array_equal(loaded.latents, fit.latents.mean)
    rows = np.arange(3)
    np.testing.assert_array_equal(loaded.voxels(rows), fit.voxels(rows))
    timeless = [
        [{**r, "part": 0, "seconds": 0} for r in log]
        for log in (fit.log, read_metrics(run, "network"))
    ]
    assert timeless[0] == timeless[1]
    if learned:
        torch.testing.assert_close(loaded.poses.rotations, fit.poses.rotations, rtol=0, atol=1e-5)


# --- arithmetic ---


@pytest.mark.parametrize("first", [None, torch.bfloat16])
def test_arithmetic_is_chosen_once_and_kept(first, tiny_dataset, tmp_path, monkeypatch) -> None:
    """Resumed and exported elsewhere, a run multiplies as it did when it began."""

    def processor(dtype: torch.dtype | None) -> None:
        monkeypatch.setattr("temporem.runs.pipeline.network_dtype", lambda *_: dtype)

    overrides = ("method=static", *TINY_NETWORK, "precision=auto", "checkpoint_seconds=0")
    chosen = config(tiny_dataset, *overrides)
    processor(first)
    whole = reconstruct(chosen, tmp_path / "whole")
    with pytest.raises(Killed):
        reconstruct(chosen, tmp_path / "run", progress=when(0.5, die))
    recorded = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["precision"]
    assert recorded == ("float32" if first is None else "bfloat16")
    processor(torch.bfloat16 if first is None else None)
    run = reconstruct(chosen, tmp_path / "run", resume=True)
    for name in ("config.yaml", "frames.star", "checkpoint/model.safetensors"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    loaded = load_run(run)
    assert loaded.arithmetic.startswith(f"{recorded} on ")
    volumes = loaded.voxels(np.arange(3))
    exact = loaded.generator
    exact.set_dtype(None)
    same = np.array_equal(loaded.voxels(np.arange(3)), volumes)
    assert same == (first is None)


def test_identical_runs_have_identical_configurations(tiny_dataset, tmp_path) -> None:
    chosen = config(tiny_dataset, "method=homogeneous")
    assert chosen.precision == "auto"
    one, other = (reconstruct(chosen, tmp_path / name) for name in ("one", "other"))
    text = (one / "config.yaml").read_text()
    assert text == (other / "config.yaml").read_text()
    assert yaml.safe_load(text)["precision"] in ("float32", "bfloat16")


def test_other_arithmetic_is_not_taken_up(stopped) -> None:
    chosen, run = stopped
    other = chosen.model_copy(update={"precision": "bfloat16"})
    with pytest.raises(TemporemError, match="precision = float32, but the value is now bfloat16"):
        reconstruct(other, run, resume=True)


def test_checkpoint_of_a_training_that_diverges_is_from_before(tiny_dataset, tmp_path) -> None:
    """Even if one is due after every step, and the numbers stay finite."""
    wide = ("encoder_width=128", "generator_width=128")
    overrides = (
        *("method=static", *TINY_NETWORK, *(f"model.{width}" for width in wide)),
        *("training.learning_rate=1", "training.frames_per_step=1", "checkpoint_seconds=0"),
    )
    run = tmp_path / "run"
    with pytest.raises(TemporemError, match="diverged in epoch") as error:
        reconstruct(config(tiny_dataset, *overrides), run)
    objective, empty = map(float, re.findall(r"-[\d.e+]+", str(error.value))[:2])
    kept = load_checkpoint(run / "checkpoint/network.safetensors")
    fit, _, _, frames, _ = kept.tensors["sums"].tolist()
    assert objective < 1000 * empty < 5 * empty < fit / frames


# --- what a run is continued with ---


@pytest.fixture
def stopped(tiny_dataset, tmp_path) -> tuple[RunConfig, Path]:
    """A static run that was killed half-way, on a copy of the dataset."""
    dataset = Path(shutil.copytree(tiny_dataset, tmp_path / "movies"))
    chosen = config(dataset, "method=static", *TINY_NETWORK, "checkpoint_seconds=0")
    with pytest.raises(Killed):
        reconstruct(chosen, tmp_path / "run", progress=when(0.5, die))
    return chosen, tmp_path / "run"


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
    chosen, run = stopped
    change(Path(chosen.dataset))
    with pytest.raises(TemporemError, match=r"has changed since .* was started"):
        reconstruct(chosen, run, resume=True)
    assert not is_finished(run)


def test_run_is_continued_where_the_dataset_has_moved_to(stopped, tiny_dataset, tmp_path) -> None:
    chosen, run = stopped
    whole = reconstruct(
        chosen.model_copy(update={"dataset": str(tiny_dataset)}), tmp_path / "whole"
    )
    there = shutil.move(chosen.dataset, tmp_path / "there")
    moved = chosen.model_copy(update={"dataset": str(there)})
    assert reconstruct(moved, run, resume=True) == run
    assert load_run(run).config.dataset == str(there)
    np.testing.assert_array_equal(load_run(run).latents, load_run(whole).latents)


def test_run_without_a_record_of_its_dataset_is_not_continued(stopped) -> None:
    chosen, run = stopped
    (run / "dataset.sha256").unlink()
    with pytest.raises(TemporemError, match="cannot recognise its dataset"):
        reconstruct(chosen, run, resume=True)


def test_run_that_is_being_written_is_left_alone(stopped, tmp_path) -> None:
    """By another process, or by what looks like one: locks are of open files."""
    chosen, run = stopped
    with held(run), pytest.raises(TemporemError, match="is being written by another process"):
        reconstruct(chosen, run, resume=True)
    refused = []

    def again() -> None:
        with pytest.raises(TemporemError, match="is being written") as error:
            reconstruct(chosen, tmp_path / "new", resume=True)
        refused.append(error)

    reconstruct(chosen, tmp_path / "new", progress=when(0.3, again))
    assert refused
    assert is_finished(reconstruct(chosen, run, resume=True))


@pytest.mark.parametrize(
    "name", ["config.yaml", "metrics.jsonl", "frames.star.old", "checkpoint/network.safetensors"]
)
def test_links_in_a_run_are_not_written_through(name, stopped, tmp_path) -> None:
    chosen, run = stopped
    target, link = tmp_path / "thesis", run / name
    if link.exists():
        link.rename(target)
    else:
        target.write_text("all of it")
    before = target.read_bytes()
    link.symlink_to(target)
    with pytest.raises(TemporemError, match="is a link"):
        reconstruct(chosen, run, resume=True)
    assert target.read_bytes() == before


def test_run_that_holds_its_dataset_is_not_replaced(tiny_dataset, tmp_path) -> None:
    run = reconstruct(config(tiny_dataset, "method=homogeneous"), tmp_path / "run")
    inside = shutil.copytree(tiny_dataset, run / "movies")
    with pytest.raises(TemporemError, match=r"holds the input .*, so it is not replaced"):
        reconstruct(config(inside, "method=homogeneous"), run, overwrite=True)
    assert (inside / "particles.star").exists()
    assert is_finished(run)


# --- crashes ---


def data_of(run: Path) -> dict[str, bytes]:
    """Contents of a finished run's files; of volumes the values, for headers have the time."""
    found = {}
    for path in run.rglob("*"):
        if path.suffix == ".mrc":
            with mrcfile.open(path) as file:
                found[path.name] = file.data.tobytes()
        elif path.is_file():
            found[str(path.relative_to(run))] = path.read_bytes()
    return found


def test_crash_before_any_change_of_the_disk_leaves_a_run_that_can_be_finished(
    tiny_dataset, tmp_path
) -> None:
    """In the place of an older run, which is there until the new one is."""
    chosen = config(tiny_dataset, "method=homogeneous")
    older = reconstruct(config(tiny_dataset, "method=homogeneous", "seed=1"), tmp_path / "older")
    whole, before = data_of(reconstruct(chosen, tmp_path / "whole")), data_of(older)
    disk, found = tmp_path / "disk", []
    run = Path(shutil.copytree(older, disk / "run"))
    for _ in crashes(lambda: reconstruct(chosen, run, overwrite=True)):
        adopt_leftovers(run)
        found.append(load_run_config(run).seed)
        if found[-1] == 1:
            assert data_of(run) == before
        else:
            assert data_of(reconstruct(chosen, run, resume=True)) == whole
        assert [path.name for path in disk.iterdir()] == ["run"]
        shutil.rmtree(run)
        shutil.copytree(older, run)
    assert found == sorted(found, reverse=True)
    assert found.count(0) > 15
    assert data_of(run) == whole  # the last one lived
