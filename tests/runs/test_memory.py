"""Memory of a run: refused where it is short; frames that are streamed give the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.bad_input import refuse
from helpers.blobs import simulate_blobs
from helpers.commands import TINY_TRAINING, settings, succeed
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import prepared_bytes
from temporem.physics.forward import ForwardModel
from temporem.runs import memory
from temporem.runs.config import RunConfig
from temporem.runs.memory import free_host_bytes, require_memory
from temporem.runs.methods import find_method

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return simulate_blobs([4, 5, 3, 4, 1, 6]).dataset


def config_of(method: str, **sections: dict) -> RunConfig:
    return RunConfig.model_validate({"method": method, **sections})


def require(config: RunConfig, dataset: Dataset) -> None:
    require_memory(config, find_method(config.method), dataset, CPU)


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        (config_of("homogeneous"), "bin the images to a box below 16"),
        (config_of("linear"), "lower --components, which is auto"),
        (config_of("linear", linear={"components": 6}), "lower --components, which is 6"),
        (
            config_of("static", training={"frames_per_step": 100}),
            "lower training.frames_per_step, which is 100",
        ),
        (
            config_of("tempor", training={"frames_per_step": 4}, model={"generator_width": 4096}),
            "lower training.pixels_per_frame, which is 128",
        ),
    ],
)
def test_a_run_that_cannot_fit_is_refused(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, config: RunConfig, hint: str
) -> None:
    monkeypatch.setattr(memory, "free_host_bytes", lambda: 2**20)
    with pytest.raises(TemporemError, match=rf"about \d.* GiB of memory, but 0\.0 GiB.*{hint}"):
        require(config, dataset)
    for enough in (2**40, None):
        monkeypatch.setattr(memory, "free_host_bytes", lambda enough=enough: enough)
        require(config, dataset)


def test_frames_in_memory_count_and_streamed_ones_do_not(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million frames: in memory only if that is asked for."""
    n = 1_000_000
    many = replace(dataset, images=np.broadcast_to(np.float32(0), (n, 16, 16)))
    needed = prepared_bytes(ForwardModel(16, dataset.pixel_size_angstrom), n)
    monkeypatch.setattr(memory, "free_host_bytes", lambda: needed)
    require(config_of("tempor"), many)
    with pytest.raises(TemporemError, match=r"lower data\.memory_gb, which is 50"):
        require(config_of("tempor", data={"memory_gb": 50}), many)


def test_free_memory_is_measured() -> None:
    assert (free_host_bytes() or 2**30) > 2**24


@pytest.mark.integration
def test_nothing_is_written_where_memory_is_short(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_host_bytes", lambda: 1)
    said = refuse(tmp_path, "reconstruct", tiny_dataset, "-o", tmp_path / "run")
    assert "this run needs about" in said


@pytest.mark.integration
@pytest.mark.parametrize("method", ["tempor", "static", "linear", "homogeneous"])
def test_runs_of_streamed_frames_are_those_of_frames_in_memory(
    tiny_dataset: Path, tmp_path: Path, method: str
) -> None:
    options = (
        *TINY_TRAINING,
        "training.epochs=2",
        "training.frames_per_step=8",
        "linear.iterations=1",
        "data.held_out_fraction=0.2",
    )
    for name, gigabytes in (("one", "1"), ("other", "0")):
        chosen = settings((*options, f"data.memory_gb={gigabytes}"))
        components = ("--components", 1) if method == "linear" else ()
        arguments = ("-o", tmp_path / name, "--method", method, *components, *chosen)
        succeed("reconstruct", tiny_dataset, *arguments)
    for name in ("frames.star", "checkpoint/model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
