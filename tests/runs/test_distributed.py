"""A run of two processes is the run of one: models, files, messages, being stopped and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from temporem.frames.movie_blocks import MovieFrames
from temporem.runs.linear import LinearRun
from temporem.runs.run_files import load_run

from helpers.commands import TINY_TRAINING, Result, command, settings, succeed
from temporem.device import choose_device
from temporem.distributed import ProcessGroup
from temporem.dvae.training import Trainer
from temporem.errors import TemporemError
from temporem.frames.source import FramesInMemory
from temporem.physics.forward import ForwardModel
from temporem.report.collect import read_metrics
from temporem.runs.interrupt import InterruptFlag

SIZE = 2
FORWARD = ForwardModel(8, 8.0)
# Three movies of four frames to train on. Batches are of two movies and one, or of 11 frames and
# one, so that a process has nothing to do in every second step.
COMMON = (
    *TINY_TRAINING,
    *("data.held_out_fraction=0.4", "training.epochs=8"),
    "training.checkpoint_seconds=0",  # after every step
)
TEMPOR = (*COMMON, "training.frames_per_step=8", "training.learning_rate=5e-3")
STATIC = (*COMMON, "training.frames_per_step=11", "training.learning_rate=5e-3")
METHODS: dict[str, list[str]] = {
    "static": ["--method", "static", *settings(STATIC)],
    "tempor": ["--method", "tempor", *settings(TEMPOR)],
    "pretrained": ["--method", "tempor", "--init", "static", *settings(TEMPOR)],
    "table": [
        *("--method", "tempor", "--poses", "refine"),
        *settings((*TEMPOR, "poses.learned=table")),
    ],
    "head": [
        *("--method", "static", "--poses", "estimate", *settings((*STATIC, "poses.learned=head"))),
        *settings(("model.encoder_input=image", "model.mean_volume=false")),
    ],
    "linear": [
        *("--method", "linear", "--components", "1"),
        *settings(("linear.iterations=2", "data.held_out_fraction=0.4")),
    ],
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
    """A command; Ctrl-C in this process, if it ``stops``, at an optimiser step or linear step."""
    patch = pytest.MonkeyPatch()
    if stop_at is not None and stops:

        def stopping(original: Any) -> Any:
            def step(self: Any, *arguments: Any) -> Any:
                done = self.state["done"] if isinstance(self.state, dict) else self.state.step
                if done + 1 == stop_at:
                    signal.raise_signal(signal.SIGINT)
                return original(self, *arguments)

            return step

        patch.setattr(Trainer, "_step", stopping(Trainer._step))
        patch.setattr(LinearRun, "_joint", stopping(LinearRun._joint))
    # As at a terminal: what a shell starts in the background is deaf to Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return command(*arguments)
    finally:
        signal.signal(signal.SIGINT, before)
        patch.undo()


def reconstruct(dataset: Path, out: Path, name: str, *more: str) -> list[str]:
    return ["reconstruct", str(dataset), "-o", str(out), *METHODS[name], *more]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("distributed"))


@pytest.fixture(scope="module")
def one(tiny_dataset, folder) -> Path:
    """Runs of one process by name, and ``NAME-stopped``. Not to be changed."""
    (folder / "one").mkdir()
    for name in METHODS:
        succeed(*reconstruct(tiny_dataset, folder / "one" / name, name))
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
    tensors, wanted = load_file(found), load_file(expected)
    assert tensors.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = float(value.double().abs().max()) if value.numel() else 0.0
        torch.testing.assert_close(
            tensors[name], value, rtol=1e-3, atol=1e-3 * scale + 1e-7, msg=f"{name} of {found}"
        )


def assert_same_run(found: Path, expected: Path) -> None:
    """Files, weights, latents and metrics, to what the order of sums may do."""
    assert {p.name for p in found.iterdir()} == {p.name for p in expected.iterdir()}
    weights = "checkpoint/model.safetensors"
    assert_same_tensors(found / weights, expected / weights)
    runs = [load_run(path) for path in (found, expected)]
    np.testing.assert_allclose(*(run.latents for run in runs), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(*(run.rotations for run in runs), rtol=0, atol=1e-4)
    assert runs[0].config == runs[1].config
    for line, wanted in zip(*(read_metrics(path) for path in (found, expected)), strict=True):
        assert line.keys() == wanted.keys()
        for key in ("stage", "epoch", "step", "iteration", "components"):
            assert line.get(key) == wanted.get(key)
        likelihoods = [record.get("log_likelihood", 0.0) for record in (line, wanted)]
        assert likelihoods[0] == pytest.approx(likelihoods[1], rel=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_make_the_run_of_one(one, two, folder, name) -> None:
    first, second = two[name]
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert first.out.endswith(f"Run: {folder / 'two' / name}\n")
    assert (second.out, second.err) == ("", "")
    assert_same_run(folder / "two" / name, one / name)


@pytest.mark.parametrize("name", STOP_AT)
def test_ctrl_c_in_one_process_stops_both_at_the_same_step(one, two, folder, name) -> None:
    results = two[f"{name}-stopped"]
    assert [result.code for result in results] == [130, 130]
    (said,) = (result.err for result in results if result.err)
    assert said.startswith("stopped; continue with: temporem reconstruct")
    stopped, expected = folder / "two" / f"{name}-stopped", one / f"{name}-stopped"
    for file in expected.glob("checkpoint/*.safetensors"):
        assert_same_tensors(stopped / "checkpoint" / file.name, file)
    states = [json.loads((p / "checkpoint/state.json").read_text()) for p in (stopped, expected)]
    for state in states:
        del state["seconds"]
        state.pop("terms", None)
    assert states[0] == states[1]


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


# --- parts ---


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 9))
def test_parts_are_neighbours_and_hold_everything_once(lengths: list[int], size: int) -> None:
    parts = [ProcessGroup(rank, size).cut(lengths) for rank in range(size)]
    items = list(range(len(lengths)))
    assert [i for part in parts for i in items[part]] == items
    if lengths:
        most = sum(lengths) / size + max(lengths)
        assert max(sum(lengths[part]) for part in parts) <= most


def test_one_process_alone_waits_for_nobody() -> None:
    processes, values = ProcessGroup(), torch.ones(3)
    processes.add(values)
    processes.same(values)
    processes.wait()
    assert values.equal(torch.ones(3))
    assert processes.any(True)
    assert not processes.any(False)


def test_sigterm_may_come_twice() -> None:
    """Torchrun and Slurm repeat it while the checkpoint is being written."""
    with InterruptFlag() as flag:
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            assert flag


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(1, 4))
def test_every_movie_is_of_one_process_in_all_passes(lengths: list[int], size: int) -> None:
    ends = np.cumsum(lengths)
    movies = [np.arange(end - n, end) for n, end in zip(lengths, ends, strict=True)]
    n, p = int(ends[-1]), len(FORWARD.support)
    frames = MovieFrames(
        FORWARD,
        source=FramesInMemory(torch.zeros(n, p, dtype=torch.complex64), torch.zeros(n, p)),
        rotations=torch.eye(3).expand(n, 3, 3),
        intervals=torch.ones(1, dtype=torch.float64),
        interval_index=torch.zeros(n, dtype=torch.long),
    )
    shares = [frames.shared(movies, ProcessGroup(rank, size)) for rank in range(size)]
    owners = []
    for some in (movies, movies[1::2]):
        rows = [torch.cat([*(b.rows for b in s.blocks(some)), torch.zeros(0)]) for s in shares]
        expected = np.concatenate([*some, np.zeros(0)])
        assert torch.cat(rows).tolist() == expected.tolist()
        owners.append({int(row): rank for rank, own in enumerate(rows) for row in own})
    assert owners[1].items() <= owners[0].items()


def test_every_process_takes_a_gpu_of_its_own(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    processes = ProcessGroup(rank=7, size=8, local_rank=3)
    assert (
        choose_device("auto", processes)
        == choose_device("cuda", processes)
        == torch.device("cuda:3")
    )
    assert choose_device("cpu", processes) == torch.device("cpu")
    assert choose_device("cuda") == torch.device("cuda")
    with pytest.raises(TemporemError, match="cuda:1 for 8 processes; expected auto, cpu, or cuda"):
        choose_device("cuda:1", processes)
    with pytest.raises(TemporemError, match=r"cuda:4 is not here.*as many processes on a node"):
        choose_device("auto", ProcessGroup(rank=4, size=8, local_rank=4))


def test_a_process_that_vanished_is_said(monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("[pair.cc:1] Connection closed by peer. See the logs.\nframe #0")

    monkeypatch.setattr(dist, "all_reduce", fail)
    with pytest.raises(TemporemError, match=r"lost the other .*Connection closed by peer\); see"):
        ProcessGroup(0, 2).wait()


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE"])
def test_incomplete_environment_is_said(tiny_dataset, tmp_path, monkeypatch, name) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(name, "two")
    result = command("reconstruct", tiny_dataset, "-o", tmp_path / "run")
    assert result.code == 2
    assert f"the environment variable {name} is 'two'" in result.err
