"""Points in the space of latents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.runs import latent_points
from temporem.runs.latent_points import LatentPoints
from temporem.runs.run import Run, load_run
from temporem.runs.series import frames_series, points_series


@pytest.fixture(scope="module")
def run(tiny_runs) -> Run:
    """A run with latents on an ellipse whose long axis is (1, 1)."""
    run = load_run(tiny_runs["tempor"])
    angle = np.linspace(0, 2 * np.pi, run.n_frames, endpoint=False)
    long, short = np.array([1, 1]) / np.sqrt(2), np.array([1, -1]) / np.sqrt(2)
    z = 3 * np.cos(angle)[:, None] * long + np.sin(angle)[:, None] * short + [10, 0]
    return replace(run, latent_means=torch.from_numpy(z.astype(np.float32)))


def test_given_latents(run: Run) -> None:
    points = latent_points.given_points(run, "0.3,-1; 1e1 , 2")
    np.testing.assert_allclose(points.z, [[0.3, -1], [10, 2]], rtol=1e-6)
    assert points.names == ["latent_000_z_0.30_-1.00", "latent_001_z_10.00_2.00"]


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "nan,1", "inf,1", "1,2;", "", "1e30,0"])
def test_latents_of_other_dimensions_are_refused(text: str, run: Run) -> None:
    with pytest.raises(TemporemError, match="no latent of 2 dimensions; expected 2 numbers"):
        latent_points.given_points(run, text)


def test_path_is_straight_and_even(run: Run) -> None:
    z = latent_points.path_points(run, "0,0:3,0:3,1:9").z
    np.testing.assert_allclose(z[:7], [[i / 2, 0] for i in range(7)])
    np.testing.assert_allclose(z[7:], [[3, 0.5], [3, 1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,0:1,1", "not understood"),
        ("0,0:5", "not understood"),
        ("0,0:1,1:x", "not understood"),
        ("0,0:1,1:1", "expected a number from 2 to 10000"),
        ("0,0:1,1:99999", "expected a number from 2 to 10000"),
        ("0,0:0,0:5", "the same latent"),
        ("0,0:1:5", "no latent"),
    ],
)
def test_bad_paths(text: str, message: str, run: Run) -> None:
    with pytest.raises(TemporemError, match=message):
        latent_points.path_points(run, text)


def test_components_follow_the_spread_of_the_frames(run: Run) -> None:
    z = latent_points.component_points(run, "PC1:5").z - [10, 0]
    np.testing.assert_allclose(z[:, 0], z[:, 1], atol=1e-5)
    np.testing.assert_allclose(z[2], 0, atol=1e-5)
    assert 2.5 < np.linalg.norm(z[0]) < 3  # most of the way to the end of the ellipse
    other = latent_points.component_points(run, "pc2").z - [10, 0]
    assert len(other) == 10
    np.testing.assert_allclose(other[:, 0], -other[:, 1], atol=1e-5)


@pytest.mark.parametrize("text", ["PC0", "PC3"])
def test_component_that_is_not_there(text: str, run: Run) -> None:
    with pytest.raises(TemporemError, match="the latents have 2 dimensions; expected PC1 to PC2"):
        latent_points.component_points(run, text)


@pytest.mark.parametrize("text", ["PC", "PC1:", "1", "PC1:1", "PC1:999999"])
def test_component_that_is_not_understood(text: str, run: Run) -> None:
    with pytest.raises(TemporemError, match=r"not understood|expected a number"):
        latent_points.component_points(run, text)


def test_clusters_are_those_that_there_are() -> None:
    """Numbered along the first principal component, whatever the seed."""
    random = np.random.default_rng(0)
    group = random.integers(3, size=60)
    latents = np.array([[-5, 0], [0, 1], [7, 0]])[group] + random.normal(0, 0.3, (60, 2))
    for seed in range(4):
        found = latent_points.cluster_frames(latents, 3, seed)
        np.testing.assert_array_equal(found.label, group + 1)
        np.testing.assert_array_equal(group[found.nearest], [0, 1, 2])


def test_number_of_clusters_is_at_most_that_of_latents() -> None:
    latents = np.array([[0.0], [0.0], [1.0]])
    for k in (0, 3):
        with pytest.raises(TemporemError, match="expected a number from 1 to 2"):
            latent_points.cluster_frames(latents, k, 0)


def test_latent_of_a_cluster_is_that_of_a_frame(run: Run) -> None:
    latents = latent_points.latents_of_run(run)
    points = latent_points.cluster_points(latents, latent_points.cluster_frames(latents, 4, 0))
    assert run.latents is not None
    assert {tuple(z) for z in points.z} <= {tuple(z) for z in run.latents}
    sizes = [int(label.split()[4]) for label in points.labels]
    assert sum(sizes) == run.n_frames
    assert points.labels[0] == f"cluster 1 of 4, {sizes[0]} frames"


def test_latents_far_from_the_frames_are_said_with_numbers(run: Run) -> None:
    """The ellipse is √2 standard deviations from its middle, everywhere."""
    on = LatentPoints(np.array([[10 + 2.1, 2.1], [10, 0]], np.float32), ["a", "b"], ["", ""])
    assert latent_points.far_from_data(run, on) is None
    off = LatentPoints(np.array([[10, 0], [14, -4]], np.float32), ["a", "b"], ["", ""])
    said = latent_points.far_from_data(run, off)
    assert said is not None
    assert "1 of 2 latents" in said
    assert "14,-4 is 8.0 standard deviations" in said
    assert "the farthest frame 1.4" in said


def test_method_without_latents_is_refused(tiny_runs) -> None:
    run = load_run(tiny_runs["homogeneous"])
    with pytest.raises(TemporemError, match="--method homogeneous, which has no latents"):
        latent_points.given_points(run, "1")


def test_volume_of_a_frame_and_of_its_latent_are_the_same(tiny_runs) -> None:
    run = load_run(tiny_runs["tempor"])
    assert run.latents is not None
    points = LatentPoints(run.latents[[3, 5]], ["a", "b"], ["", ""])
    series = points_series(run, points)
    np.testing.assert_allclose(
        series.source.voxels(series.rows), run.voxels(np.array([3, 5])), atol=1e-6
    )


def test_names_carry_movie_frame_and_time(run: Run) -> None:
    odd = replace(run, particle_names=["../a b/c:d", *run.particle_names[1:]])
    odd.times_seconds[1] = np.nan
    series = frames_series(odd, np.array([0, 1, 19]))
    assert series.names[0] == f"frame_000000_a_b_c_d_0001_{run.times_seconds[0]:g}s"
    assert series.names[1] == "frame_000001_movie_0001_0002"
    assert series.labels[2] == "movie_0005, frame 4"


@pytest.mark.parametrize(
    ("times", "interval"),
    [([0, 2, 4], 2), ([0, 2, 4.001], 2), ([0, 2, 5], None), ([4, 2, 0], None), ([1], None)],
)
def test_interval_is_known_only_where_it_is_constant(times, interval, run: Run) -> None:
    times = np.array([*times, *([np.nan] * (run.n_frames - len(times)))], dtype=float)
    rows = np.flatnonzero(np.isfinite(times))
    series = frames_series(replace(run, times_seconds=times), rows)
    assert series.interval_seconds == (None if interval is None else pytest.approx(interval, 1e-3))
