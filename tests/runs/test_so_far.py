"""Runs that are not finished, as their last checkpoint has them."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.commands import TINY_NETWORK, settings, succeed
from helpers.killed import kill
from temporem.errors import TemporemError
from temporem.runs.run import load_run
from temporem.runs.so_far import load_run_so_far

LINEAR = ("method=linear", "linear.components=2", "linear.iterations=2")
NETWORK = ("method=tempor", *TINY_NETWORK)


def test_linear_run_has_the_volumes_of_its_last_step(tiny_dataset, tmp_path) -> None:
    kill(tiny_dataset, tmp_path / "run", 3, *LINEAR)
    found = load_run_so_far(tmp_path / "run")
    assert found.words.startswith("Still training: its last checkpoint, step 3 of the linear")
    chosen = settings(LINEAR)
    succeed("reconstruct", tiny_dataset, "-o", tmp_path / "whole", *chosen)
    whole = load_run(tmp_path / "whole")
    rows = np.array([0, 5, 11])
    a, b = found.run.voxels(rows), whole.voxels(rows)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9
    assert found.run.grid == whole.grid
    assert found.run.particle_names == whole.particle_names
    assert (np.linalg.eigvalsh(found.run.latent_covariance) > 0).all()


def test_network_has_latents_for_every_frame(tiny_dataset, tmp_path) -> None:
    kill(tiny_dataset, tmp_path / "run", 5, *NETWORK)
    found = load_run_so_far(tmp_path / "run")
    assert "of 4 epochs" in found.words
    assert found.run.latents is not None
    assert len(found.run.latents) == 20
    assert np.isfinite(found.run.voxels(np.arange(20))).all()


@pytest.mark.parametrize(("n", "values"), [(1, LINEAR), (0, NETWORK)])
def test_run_without_volumes_says_so(n, values, tiny_dataset, tmp_path) -> None:
    kill(tiny_dataset, tmp_path / "run", n, *values)
    with pytest.raises(TemporemError, match="has no checkpoint with volumes yet; look again"):
        load_run_so_far(tmp_path / "run")


def test_method_without_checkpoints_says_so(tiny_dataset, tmp_path) -> None:
    succeed("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--method", "homogeneous")
    (tmp_path / "run/frames.star").unlink()
    with pytest.raises(TemporemError, match="nothing to show before its end; finish it with"):
        load_run_so_far(tmp_path / "run")
