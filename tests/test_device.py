"""Every method on a device that is not the CPU: the same code, and the same results.

On a stand-in for a GPU, and on a GPU where there is one.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from helpers.commands import TINY_NETWORK, TINY_TRAINING
from helpers.elsewhere import ELSEWHERE, elsewhere
from helpers.short_search import shorten_searches
from temporem.evaluation.api import evaluate
from temporem.io.settings import apply_overrides
from temporem.runs import pipeline, run
from temporem.runs.config import RunConfig, build_config
from temporem.runs.pipeline import reconstruct
from temporem.runs.run import load_run

pytestmark = pytest.mark.integration

DEVICES = [ELSEWHERE, *map(torch.device, ["cuda"] * torch.cuda.is_available())]
# A GPU sums in another order, and steps of Adam have the sign of a gradient, however small.
TOLERANCES = {"meta": 1e-5, "cuda": 1e-2}


def config(dataset, overrides: tuple[str, ...]) -> RunConfig:
    settings = apply_overrides({"dataset": str(dataset)}, overrides)
    return build_config(settings, source="test")


LINEAR = ("linear.components=1", "linear.iterations=1")
CASES = {
    "homogeneous": ("method=homogeneous",),
    "linear, streamed": ("method=linear", *LINEAR, "linear.temporal=false", "data.memory_gb=0"),
    "static, streamed": ("method=static", *TINY_NETWORK, "data.memory_gb=0"),
    "tempor, from a linear model": ("method=tempor", *TINY_TRAINING, *LINEAR),
    "tempor": ("method=tempor", *TINY_NETWORK, "model.inference=DKS"),
    "poses, estimated": ("method=homogeneous", "poses.source=estimate", "poses.starts=1"),
    "poses, refined": ("method=homogeneous", "poses.source=refine", "poses.diffusion=1"),
    "poses, in a table": ("method=tempor", *TINY_NETWORK, "poses.source=refine"),
    "poses, by a head": (
        *("method=static", *TINY_NETWORK, "poses.source=estimate"),
        *("poses.learned=head", "model.encoder_input=image"),
    ),
}


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_run_elsewhere_is_the_run_of_the_cpu(
    overrides, device, tiny_dataset, tmp_path, monkeypatch
) -> None:
    shorten_searches(monkeypatch)
    settings, rows = config(tiny_dataset, overrides), np.array([0, 7])
    expected = load_run(reconstruct(settings, tmp_path / "cpu"))
    volumes, tolerance = expected.voxels(rows), TOLERANCES[device.type]
    for module in (pipeline, run):
        monkeypatch.setattr(module, "choose_device", lambda *_: device)
    with elsewhere(monkeypatch) if device == ELSEWHERE else nullcontext():
        found = load_run(reconstruct(settings, tmp_path / "elsewhere"))
        assert {t.device.type for t in found.generator.state_dict().values()} == {device.type}
        np.testing.assert_allclose(found.voxels(rows), volumes, atol=tolerance * volumes.std())
        if settings.method == "linear":
            found.voxel_deviations(rows)
        evaluate(found, tiny_dataset, every=2)
    one, other = found.poses, expected.poses
    np.testing.assert_allclose(one.rotations, other.rotations, atol=tolerance)
    np.testing.assert_allclose(one.shifts_angstrom, other.shifts_angstrom, atol=tolerance)
    if settings.method != "homogeneous":
        np.testing.assert_allclose(found.latents, expected.latents, atol=tolerance)
