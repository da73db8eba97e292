"""Every method on a device that is not the CPU: the same code, and the same results.

On a stand-in for a GPU, and on a GPU where there is one.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.commands import TINY_NETWORK, TINY_TRAINING
from helpers.elsewhere import ELSEWHERE, elsewhere
from helpers.short_search import shorten_searches
from temporem.evaluation.api import evaluate
from temporem.io.settings import apply_overrides
from temporem.runs.config import RunConfig, build_config
from temporem.runs.pipeline import reconstruct
from temporem.runs.run import load_run

DEVICES = [ELSEWHERE, *map(torch.device, ["cuda"] * torch.cuda.is_available())]
# A GPU sums in another order, and steps of Adam have the sign of a gradient, however small.
TOLERANCES = {"meta": 1e-5, "cuda": 1e-2}
ONE_COMPONENT = ("linear.components=1", "linear.iterations=1")
RUNS = {
    "homogeneous": ("method=homogeneous", "data.memory_gb=0"),
    "linear": ("method=linear", *ONE_COMPONENT, "linear.temporal=false", "data.memory_gb=0"),
    "static with a pose head": (
        *TINY_NETWORK,
        "method=static",
        "poses.source=estimate",
        "poses.learned=head",
        "poses.head_images=300",
        "poses.effort=1",
    ),
    "tempor": (*TINY_TRAINING, *ONE_COMPONENT, "data.held_out_fraction=0.4"),
    "tempor with a pose table": (
        *TINY_TRAINING,
        "training.start=static",
        "model.inference=DKS",
        "poses.source=refine",
        "data.memory_gb=0",
    ),
}


def config(dataset: Path, overrides: tuple[str, ...]) -> RunConfig:
    return build_config(apply_overrides({"dataset": str(dataset)}, overrides), source="test")


@pytest.mark.integration
@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("overrides", RUNS.values(), ids=RUNS)
def test_run_elsewhere_is_the_run_of_the_cpu(
    overrides, device, tiny_dataset, tmp_path, monkeypatch
) -> None:
    shorten_searches(monkeypatch)
    settings, rows = config(tiny_dataset, overrides), np.array([0, 7])
    expected = load_run(reconstruct(settings, tmp_path / "cpu"))
    volumes, tolerance = expected.voxels(rows), TOLERANCES[device.type]
    for module in ("pipeline", "run"):
        monkeypatch.setattr(f"temporem.runs.{module}.choose_device", lambda *_: device)
    with elsewhere(monkeypatch) if device == ELSEWHERE else nullcontext():
        found = load_run(reconstruct(settings, tmp_path / "elsewhere"))
        assert {t.device.type for t in found.generator.state_dict().values()} == {device.type}
        np.testing.assert_allclose(found.voxels(rows), volumes, atol=tolerance * volumes.std())
        if settings.method == "linear":
            found.voxel_deviations(rows)
        evaluate(found, tiny_dataset, every=4)
        latents = found.latents
    for name in ("rotations", "shifts_angstrom"):
        pair = (getattr(run.poses, name) for run in (found, expected))
        np.testing.assert_allclose(*pair, atol=tolerance)
    if settings.method != "homogeneous":
        np.testing.assert_allclose(latents, expected.latents, atol=tolerance)
