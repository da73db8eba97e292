"""What a finished run already holds, without a truth."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from temporem.frames.readers import read_dataset
from temporem.report import knowledge
from temporem.report.collect import collect
from temporem.runs.run import load_run


@pytest.mark.integration
def test_a_run_without_a_truth_tells_all_but_how_right_it_is(
    tiny_dataset, tiny_runs, tmp_path
) -> None:
    real = shutil.copytree(tiny_dataset, tmp_path / "real")
    shutil.rmtree(real / "truth")
    movies, (run,) = collect([tiny_runs["tempor"]], real)
    assert movies.truth is None
    assert movies.movie_names[0] == "movie_0001"
    assert run.path_volumes is not None
    assert run.path_volumes.shape[1:] == (16, 16, 16)
    assert run.latent_covariance is not None
    assert {"mean", "component 1"} <= set(run.half_fsc)
    assert run.coverage is not None
    assert not run.found_poses
    assert run.cloud_motion is None
    assert run.ends[0].low.shape == (16, 16, 16)
    assert not np.allclose(run.ends[0].low, run.ends[0].high)


@pytest.mark.integration
def test_projections_explain_the_images(tiny_dataset, tiny_runs) -> None:
    """Less power is left than the images have."""
    run = load_run(tiny_runs["tempor"])
    shown = np.array([0, 2])
    rest = knowledge.residuals_of(run, read_dataset(tiny_dataset), shown)
    assert rest is not None
    assert rest.observed.shape == rest.predicted.shape == (2, 16, 16)
    assert rest.labels == ["frame 1", "frame 3"]
    low = slice(1, 4)
    assert (rest.residual_power[low] < 0.8 * rest.image_power[low]).all()
    pairs = zip(rest.observed, rest.predicted, strict=True)
    assert min(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs) > 0.5


@pytest.mark.integration
def test_a_method_without_latents_has_no_path_and_no_ends(tiny_dataset, tiny_runs) -> None:
    run = load_run(tiny_runs["homogeneous"])
    assert knowledge.path_rows(run) is None
    assert knowledge.ends_of(run) == []
    assert knowledge.residuals_of(run, read_dataset(tiny_dataset), np.array([0])) is not None
