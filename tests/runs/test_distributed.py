"""A run of two processes is the run of one: models, files, messages, being stopped and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from helpers.commands import TINY_TRAINING, Result, command, settings, succeed
from helpers.short_search import shorten_searches
from temporem.io.checkpoint import load_checkpoint
from temporem.runs import names
from temporem.runs.methods import linear, network
from temporem.runs.persistence import read_metrics
from temporem.runs.run import load_run

pytestmark = pytest.mark.integration

SIZE = 2
# Three movies of four frames to train on. Batches are of two movies and one, or of 11 frames and
# one, so that a process has nothing to do in every second step.
COMMON = (
    *TINY_TRAINING,
    *("data.held_out_fraction=0.4", "training.epochs=8", "training.start=none"),
    *("checkpoint_seconds=0", "training.learning_rate=5e-3"),
)
TEMPOR = (*COMMON, "training.frames_per_step=8")
STATIC = (*COMMON, "training.frames_per_step=11")
LINEAR = ("linear.components=1", "linear.iterations=2")
METHODS: dict[str, tuple[str, ...]] = {
    "static": ("method=static", *STATIC),
    "tempor": ("method=tempor", *TEMPOR, "training.start=linear", *LINEAR),
    "pretrained": ("method=tempor", *TEMPOR, "training.start=static"),
    "table": ("method=tempor", *TEMPOR, "poses.source=refine", "poses.learned=table"),
    "head": (
        *("method=static", *STATIC, "poses.source=estimate", "poses.effort=1"),
        *("poses.learned=head", "poses.head_images=300"),
    ),
    "linear": ("method=linear", *LINEAR, "data.held_out_fraction=0.4"),
    "searched": ("method=homogeneous", "poses.source=refine"),
}
STOP_AT = {"pretrained": 13, "linear": 3}  # in the last stage; step 13 is the first of an epoch


# --- two processes ---


def together(folder: Path, jobs: list[dict[str, Any]]) -> list[list[Result]]:
    """What each of two processes says and leaves of each of some commands.

    A job is what :func:`_run` takes.
    """
    for job in jobs:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            job["port"] = free.getsockname()[1]
    torch.multiprocessing.spawn(_work, (folder, jobs), nprocs=SIZE)
    texts = [(folder / f"{rank}.json").read_text(encoding="utf-8") for rank in range(SIZE)]
    results = [[Result(**result) for result in json.loads(text)] for text in texts]
    return [list(pair) for pair in zip(*results, strict=True)]


def _work(rank: int, folder: Path, jobs: list[dict[str, Any]]) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(SIZE), "MASTER_ADDR": "127.0.0.1"}
    os.environ["LOCAL_RANK"] = str(rank)
    results = []
    for job in jobs:
        os.environ["MASTER_PORT"] = str(job["port"])
        results.append(asdict(_run(job["arguments"][rank], job.get("stop_at"), rank == 1)))
        if dist.is_initialized():  # the end of a process ends it too
            dist.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps(results), encoding="utf-8")


def _run(arguments: list[str], stop_at: int | None, stops: bool = True) -> Result:
    """A command; Ctrl-C in this process, if it ``stops``, before it has its n-th state."""
    patch = pytest.MonkeyPatch()
    shorten_searches(patch)
    if stop_at is not None and stops:
        for module, name in ((network, "training_states"), (linear, "linear_states")):
            patch.setattr(module, name, _interrupted(getattr(module, name), stop_at))
    # As at a terminal: what a shell starts in the background is deaf to Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return command(*arguments)
    finally:
        signal.signal(signal.SIGINT, before)
        patch.undo()


def _interrupted(states: Callable[..., Iterator[Any]], stop_at: int) -> Callable[..., Any]:
    def interrupted(*arguments: Any, **more: Any) -> Iterator[Any]:
        for n, state in enumerate(states(*arguments, **more), start=1):
            if n == stop_at:
                signal.raise_signal(signal.SIGINT)
            yield state

    return interrupted


def reconstruct(dataset: Path, out: Path, name: str, *more: str) -> list[str]:
    return ["reconstruct", str(dataset), "-o", str(out), *settings(METHODS[name]), *more]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("distributed"))


@pytest.fixture(scope="module")
def one(tiny_dataset, folder) -> Path:
    """Runs of one process by name, and ``NAME-stopped``. Not to be changed."""
    (folder / "one").mkdir()
    for name in METHODS:
        result = _run(reconstruct(tiny_dataset, folder / "one" / name, name), None)
        assert result.code == 0, result.err
    for name, stop_at in STOP_AT.items():
        out = folder / "one" / f"{name}-stopped"
        assert _run(reconstruct(tiny_dataset, out, name), stop_at).code == 130
    return folder / "one"


@pytest.fixture(scope="module")
def two(tiny_dataset, folder, one) -> dict[str, list[Result]]:
    """What both processes said of runs in the folder ``two``, in which all jobs are done."""
    out = folder / "two"
    out.mkdir()
    lonely = shutil.copytree(tiny_dataset, folder / "lonely")
    (lonely / "particles.star").unlink()
    jobs: dict[str, dict[str, Any]] = {}
    for name in METHODS:
        jobs[name] = {"arguments": SIZE * [reconstruct(tiny_dataset, out / name, name)]}
    for name, stop_at in STOP_AT.items():
        arguments = reconstruct(tiny_dataset, out / f"{name}-stopped", name)
        jobs[f"{name}-stopped"] = {"arguments": SIZE * [arguments], "stop_at": stop_at}
        resumed = shutil.copytree(one / f"{name}-stopped", out / f"{name}-resumed")
        arguments = reconstruct(tiny_dataset, resumed, name, "--resume")
        jobs[f"{name}-resumed"] = {"arguments": SIZE * [arguments]}
    for bad in ("missing", "exists", "option", "first", "second"):
        dataset = folder / "nothing" if bad == "missing" else tiny_dataset
        target = out / ("static" if bad == "exists" else bad)
        arguments = reconstruct(dataset, target, "static", *(["--nope"] * (bad == "option")))
        jobs[bad] = {"arguments": [list(arguments) for _ in range(SIZE)]}
    jobs["first"]["arguments"][0][1] = jobs["second"]["arguments"][1][1] = str(lonely)
    return dict(zip(jobs, together(folder, list(jobs.values())), strict=True))


def assert_same_tensors(found: Path, expected: Path) -> None:
    parts, wanted = load_checkpoint(found), load_checkpoint(expected)
    assert parts.kind == wanted.kind
    assert _timeless(parts.document) == _timeless(wanted.document)
    assert parts.tensors.keys() == wanted.tensors.keys()
    for name, value in wanted.tensors.items():
        scale = float(value.double().abs().max()) if value.numel() else 0.0
        torch.testing.assert_close(
            parts.tensors[name],
            value,
            rtol=1e-3,
            atol=1e-3 * scale + 1e-7,
            msg=f"{name} of {found}",
        )


def _timeless(document: Any) -> dict[str, Any]:
    """Exact values; those that sums decide are compared elsewhere."""
    kept = (int, str, bool)
    return {k: v for k, v in document.items() if isinstance(v, kept) and k != "seconds"}


def assert_same_run(found: Path, expected: Path) -> None:
    """Files, weights, latents and metrics, to what the order of sums may do."""
    assert {p.name for p in found.iterdir()} == {p.name for p in expected.iterdir()}
    assert_same_tensors(found / names.MODEL, expected / names.MODEL)
    runs = [load_run(path) for path in (found, expected)]
    if runs[1].latents is not None:
        np.testing.assert_allclose(*(run.latents for run in runs), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(*(run.poses.rotations for run in runs), rtol=0, atol=1e-4)
    assert runs[0].config == runs[1].config
    for line, wanted in zip(*(read_metrics(path) for path in (found, expected)), strict=True):
        assert line.keys() == wanted.keys()
        for key in ("part", "stage", "epoch", "step", "iteration", "components"):
            assert line.get(key) == wanted.get(key)
        likelihoods = [record.get("log_likelihood", 0.0) for record in (line, wanted)]
        assert likelihoods[0] == pytest.approx(likelihoods[1], rel=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_make_the_run_of_one(one, two, folder, name) -> None:
    first, second = two[name]
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert f"Run: {folder / 'two' / name}\n" in first.out
    assert (second.out, second.err) == ("", "")
    assert_same_run(folder / "two" / name, one / name)


@pytest.mark.parametrize("name", STOP_AT)
def test_ctrl_c_in_one_process_stops_both_at_the_same_step(one, two, folder, name) -> None:
    results = two[f"{name}-stopped"]
    assert [result.code for result in results] == [130, 130]
    (said,) = (result.err for result in results if result.err)
    assert said.startswith("stopped; continue with: temporem reconstruct")
    stopped, expected = folder / "two" / f"{name}-stopped", one / f"{name}-stopped"
    files = sorted(path.name for path in (expected / names.CHECKPOINT).iterdir())
    assert sorted(path.name for path in (stopped / names.CHECKPOINT).iterdir()) == files
    for file in files:
        assert_same_tensors(*(run / names.CHECKPOINT / file for run in (stopped, expected)))


@pytest.mark.parametrize("name", STOP_AT)
def test_one_process_resumes_what_two_began(one, two, tiny_dataset, folder, tmp_path, name) -> None:
    run = shutil.copytree(folder / "two" / f"{name}-stopped", tmp_path / name)
    succeed(*reconstruct(tiny_dataset, run, name, "--resume"))
    assert_same_run(run, one / name)


@pytest.mark.parametrize("name", STOP_AT)
def test_two_processes_resume_what_one_began(one, two, folder, name) -> None:
    assert [result.code for result in two[f"{name}-resumed"]] == [0, 0]
    assert_same_run(folder / "two" / f"{name}-resumed", one / name)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("missing", "does not exist; expected a dataset"),
        ("exists", "exists; choose another name"),
        ("option", "Unknown option"),
        ("first", "particles.star"),
        ("second", "particles.star"),
    ],
)
def test_of_an_error_one_process_speaks_and_all_end(two, folder, bad, message) -> None:
    results = two[bad]
    assert [result.code for result in results] == [2, 2]
    (line,) = "".join(result.err for result in results).splitlines()
    assert line.startswith("error: ")
    assert message in line
    rank = {"first": 0, "second": 1}.get(bad)
    if rank is not None:
        assert f"(rank {rank} of 2, on " in results[rank].err
    names = [path.name for path in (folder / "two").iterdir()]
    assert not [name for name in names if name == bad or "partial" in name]


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE"])
def test_incomplete_environment_is_said(tiny_dataset, tmp_path, monkeypatch, name) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(name, "two")
    result = command("reconstruct", tiny_dataset, "-o", tmp_path / "run")
    assert result.code == 2
    assert f"the environment variable {name} is 'two'" in result.err
