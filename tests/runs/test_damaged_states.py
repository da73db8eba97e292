"""States that are not what a run writes: one clear line, never numbers that are not finite."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.commands import TINY_TRAINING, Result, command, settings
from helpers.short_search import shorten_searches
from temporem.io.checkpoint import load_checkpoint, save_checkpoint
from temporem.io.state import Parts
from temporem.runs import names, persistence
from temporem.runs.run import load_run

pytestmark = pytest.mark.integration

LINEAR = ("linear.components=1", "linear.iterations=2")
CASES: dict[str, tuple[str, int, tuple[str, ...]]] = {  # the part, and a state of it in the middle
    "linear": ("linear", 3, ("method=linear", *LINEAR)),
    "tempor": ("network", 4, ("method=tempor", *TINY_TRAINING, "training.start=static")),
    "searched": (
        "poses",
        2,
        ("method=homogeneous", "poses.source=estimate", "poses.effort=1"),
    ),
}


class Killed(Exception):
    pass


@pytest.fixture(scope="module", params=CASES)
def stopped(request, tiny_dataset, tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """A run that was killed in the middle, and the part that it was in. Not to be changed."""
    part, n, overrides = CASES[request.param]
    run = tmp_path_factory.mktemp("stopped") / "run"
    saved = []

    def save(path: Path, parts: Parts) -> None:
        save_checkpoint(path, parts)
        saved.append(path)
        if len(saved) == n:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        shorten_searches(patch)
        with patch.context() as killing:
            killing.setattr(persistence, "save_checkpoint", save)
            chosen = settings((*overrides, "checkpoint_seconds=0"))
            with pytest.raises(Killed):
                command("reconstruct", tiny_dataset, "-o", run, *chosen)
        yield run, part


def resumed(stopped: Path, file: Path, parts: Parts, dataset: Path, run: Path) -> Result:
    """Resume a copy of a run with another state in the place of its own."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(stopped, run)
    save_checkpoint(run / file, parts)
    return command("reconstruct", dataset, "-o", run, "--resume")


def assert_refused(result: Result, what: str) -> None:
    assert result.code == 2, what
    assert result.err.count("\n") == 1, what
    assert result.err.startswith("error: "), what
    assert "start another run" in result.err or "config.yaml" in result.err, (what, result.err)


def damaged(tensor: Tensor) -> Iterator[tuple[str, Tensor | None]]:
    yield "missing", None
    yield "dtype", tensor.int() if tensor.is_floating_point() else tensor.float()
    yield "shape", tensor[None]
    yield "length", torch.cat([tensor, tensor]) if tensor.dim() else tensor.repeat(2)


def test_tensors_that_do_not_fit_are_refused(stopped, tiny_dataset, tmp_path) -> None:
    run, part = stopped
    file = Path(names.state_file(part))
    parts = load_checkpoint(run / file)
    assert len(parts.tensors) > 2
    assert resumed(run, file, parts, tiny_dataset, tmp_path / "run").code == 0
    for i, (name, tensor) in enumerate(sorted(parts.tensors.items())):
        every = list(damaged(tensor))
        for what, changed in every if i < 4 else [every[i % len(every)]]:
            tensors = (
                {**parts.tensors, name: changed} if changed is not None else dict(parts.tensors)
            )
            if changed is None:
                del tensors[name]
            changed_parts = replace(parts, tensors=tensors)
            result = resumed(run, file, changed_parts, tiny_dataset, tmp_path / "run")
            assert_refused(result, f"{name}, {what}")
    result = resumed(run, file, replace(parts, kind="other"), tiny_dataset, tmp_path / "run")
    assert_refused(result, "kind")


VALUES: list[Any] = [None, "x", -1, 10**30, True, [], {}]


def test_documents_that_do_not_fit_are_refused_or_harmless(stopped, tiny_dataset, tmp_path) -> None:
    run, part = stopped
    file = Path(names.state_file(part))
    parts = load_checkpoint(run / file)
    for i, (key, value) in enumerate(parts.document.items()):
        for other in [VALUES[(i + j) % len(VALUES)] for j in range(3)]:
            if type(other) is type(value) and other == value:
                continue
            changed = replace(parts, document={**parts.document, key: other})
            result = resumed(run, file, changed, tiny_dataset, tmp_path / "run")
            if result.code != 0:
                assert_refused(result, f"{key} = {other}")
                continue
            found = load_run(tmp_path / "run")
            assert np.isfinite(found.voxels(np.array([0, 7]))).all()
