"""Every method on a device that is not the CPU: the same code, and the same results.

On a stand-in for a GPU, and on a GPU where there is one.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from temporem.runs.run_files import load_run

from helpers.commands import TINY_TRAINING
from helpers.elsewhere import ELSEWHERE, WAITS, elsewhere
from temporem.dvae.training import Trainer
from temporem.evaluation.api import evaluate
from temporem.frames.frames import PreparedFrames
from temporem.io.settings import apply_overrides
from temporem.runs import pipeline as training_run
from temporem.runs import run_files
from temporem.runs.config import RunConfig, build_config
from temporem.runs.pipeline import reconstruct

DEVICES = [ELSEWHERE, *map(torch.device, ["cuda"] * torch.cuda.is_available())]
# A GPU sums in another order, and steps of Adam have the sign of a gradient, however small.
TOLERANCES = {"meta": 1e-5, "cuda": 1e-2}
SHORT_SEARCH = ("poses.starts=1", "poses.iterations=1")


def config(dataset, overrides: tuple[str, ...]) -> RunConfig:
    settings = apply_overrides({"dataset": str(dataset)}, (*TINY_TRAINING, *overrides))
    return build_config(settings, source="test")


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize(
    "overrides",
    [
        ("method=homogeneous",),
        ("method=linear", "linear.temporal=false", "linear.choose_components=false"),
        ("method=linear", "linear.choose_components=false", "data.memory_gb=0"),
        ("method=static", "data.memory_gb=0"),
        ("method=tempor", "model.linear_components=1"),
        ("method=tempor", "training.init=static", "model.inference=DKS"),
        ("method=homogeneous", "poses.source=estimate", *SHORT_SEARCH),
        ("method=homogeneous", "poses.source=refine", "poses.diffusion=1", *SHORT_SEARCH),
        ("method=tempor", "training.init=static", "poses.source=refine"),
        (
            "method=static",
            "poses.source=estimate",
            "poses.learned=head",
            "model.encoder_input=image",
            "model.mean_volume=false",
        ),
    ],
    ids=" ".join,
)
def test_run_elsewhere_is_the_run_of_the_cpu(
    overrides, device, tiny_dataset, tmp_path, monkeypatch
) -> None:
    settings, rows = config(tiny_dataset, overrides), np.array([0, 7])
    expected = load_run(reconstruct(settings, tmp_path / "cpu"))
    volumes, tolerance = expected.voxels(rows), TOLERANCES[device.type]
    for module in (training_run, run_files):
        monkeypatch.setattr(module, "choose_device", lambda *_: device)
    with elsewhere(monkeypatch) if device == ELSEWHERE else nullcontext():
        found = load_run(reconstruct(settings, tmp_path / "elsewhere"))
        assert {t.device.type for t in found.generator.state_dict().values()} == {device.type}
        np.testing.assert_allclose(found.voxels(rows), volumes, atol=tolerance * volumes.std())
        if settings.method == "linear":
            found.voxel_deviations(rows)
        evaluate(found, tiny_dataset, every=2)
    np.testing.assert_allclose(found.rotations, expected.rotations, atol=tolerance)
    np.testing.assert_allclose(found.shifts_angstrom, expected.shifts_angstrom, atol=tolerance)
    if settings.method != "homogeneous":
        np.testing.assert_allclose(found.latents, expected.latents, atol=tolerance)


@pytest.mark.parametrize(
    "overrides",
    [
        ("method=static", "model.mean_volume=false"),
        ("method=tempor", "model.linear_components=1"),
        ("method=tempor", "training.init=static", "poses.source=refine", *SHORT_SEARCH),
    ],
    ids=" ".join,
)
def test_training_step_never_waits_for_the_device(
    overrides, tiny_dataset, tmp_path, monkeypatch
) -> None:
    waited: list[str] = []
    step, batch = Trainer._step, PreparedFrames.batch

    def watched(function):
        def call(*args, **kwargs):
            WAITS.clear()
            found = function(*args, **kwargs)
            waited.extend(WAITS)
            counts[function] += 1
            return found

        return call

    counts: Counter[object] = Counter()
    monkeypatch.setattr(Trainer, "_step", watched(step))
    monkeypatch.setattr(PreparedFrames, "batch", watched(batch))
    monkeypatch.setattr(training_run, "choose_device", lambda *_: ELSEWHERE)
    with elsewhere(monkeypatch):
        reconstruct(config(tiny_dataset, overrides), tmp_path / "run")
    assert waited == []
    assert min(counts[step], counts[batch]) > 5


def test_stand_in_notices_waiting(monkeypatch) -> None:
    with elsewhere(monkeypatch) as device:
        values = torch.arange(3.0, device=device)
        WAITS.clear()
        values.mul_(2).sum()
        torch.ones(3).to(device, non_blocking=True)
        assert WAITS == []
        values[0].item()
        values[values > 1]
        values.cpu()
        torch.ones(3).to(device)
        assert len(WAITS) == 4


def test_stand_in_refuses_what_a_gpu_refuses(monkeypatch) -> None:
    with elsewhere(monkeypatch) as device:
        away, near = torch.arange(3.0, device=device), torch.arange(3.0)
        assert (away * torch.tensor(2.0)).cpu().tolist() == [0, 2, 4]
        assert away[torch.tensor([2])].item() == 2
        with pytest.raises(RuntimeError, match="main memory"):
            away + near
        with pytest.raises(RuntimeError, match="main memory"):
            near.index_add_(0, torch.tensor([0], device=device), torch.ones(1))
        with pytest.raises(RuntimeError, match="numpy"):
            away.numpy()
