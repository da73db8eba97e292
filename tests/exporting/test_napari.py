"""OME-Zarr images: metadata by the rules of OME-NGFF 0.4, and the voxels."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zarr

from helpers.bad_input import refuse
from helpers.commands import succeed
from helpers.exports import make_job
from temporem.exporting import napari
from temporem.exporting.napari import Napari, halved, pyramid
from temporem.runs.run import Run
from temporem.runs.series import Series, frames_series

UNITS = {"time": {"second", "millisecond"}, "space": {"angstrom", "nanometer"}}


def require_ngff(group: zarr.Group) -> None:
    """The rules of OME-NGFF 0.4 on multiscale images, as its specification states them."""
    assert group.metadata.zarr_format == 2
    (image,) = group.attrs["multiscales"]
    assert image["version"] == "0.4"
    axes = image["axes"]
    assert 2 <= len(axes) <= 5
    assert len({axis["name"] for axis in axes}) == len(axes)
    kinds = [axis["type"] for axis in axes]
    assert kinds == sorted(kinds, key=["time", "channel", "space"].index)
    assert kinds.count("space") in (2, 3)
    assert [axis["name"] for axis in axes if axis["type"] == "space"] == ["z", "y", "x"]
    assert all(axis["unit"] in UNITS[axis["type"]] for axis in axes if "unit" in axis)
    for dataset in image["datasets"]:
        array = group[dataset["path"]]
        assert array.ndim == len(axes)
        assert array.metadata.dimension_separator == "/"
        first, *others = dataset["coordinateTransformations"]
        assert first["type"] == "scale"
        assert [other["type"] for other in others] in ([], ["translation"])
        for change in (first, *others):
            assert len(change[change["type"]]) == len(axes)
    for channel in group.attrs["omero"]["channels"]:
        assert set(channel["window"]) == {"min", "max", "start", "end"}
        assert len(channel["color"]) == 6


def opened(path: Path) -> tuple[zarr.Group, np.ndarray, list[float], list[float]]:
    """The image: group, voxels, scale and translation."""
    group = zarr.open_group(str(path), mode="r")
    require_ngff(group)
    scale, translation = group.attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    return group, group["0"][:], scale["scale"], translation["translation"]


def test_image_has_voxels_scale_and_units(run: Run, tmp_path: Path) -> None:
    rows = np.arange(4, 8)
    Napari().write(make_job(run, frames_series(run, rows), tmp_path / "a.ome.zarr"))
    group, voxels, scale, translation = opened(tmp_path / "a.ome.zarr")
    np.testing.assert_allclose(voxels, run.voxels(rows), atol=1e-5)
    assert voxels.dtype == np.float32
    assert scale == pytest.approx([0.25, 8, 8, 8])
    assert translation == pytest.approx([1.5, 0, 0, 0])
    units = [axis.get("unit") for axis in group.attrs["multiscales"][0]["axes"]]
    assert units == ["second", "angstrom", "angstrom", "angstrom"]
    assert group.attrs["temporem"]["rows"] == [4, 5, 6, 7]
    assert group.attrs["temporem"]["labels"][0] == "movie_0002, frame 1"
    window = group.attrs["omero"]["channels"][0]["window"]
    assert window["min"] < window["start"] < window["end"]


def test_cropped_image_stays_in_place(run: Run, series: Series, tmp_path: Path) -> None:
    Napari().write(make_job(run, series, tmp_path / "a.ome.zarr", crop=12))
    _, voxels, _, translation = opened(tmp_path / "a.ome.zarr")
    assert voxels.shape == (3, 12, 12, 12)
    assert translation[1:] == [16, 16, 16]
    Napari().write(make_job(run, series, tmp_path / "b.ome.zarr", downsample=8))
    _, voxels, scale, _ = opened(tmp_path / "b.ome.zarr")
    assert voxels.shape == (3, 8, 8, 8)
    assert scale[1:] == [16, 16, 16]


@pytest.mark.parametrize(("edge", "edges"), [(16, [16]), (64, [64, 32]), (152, [152, 76, 38])])
def test_edges_of_a_pyramid(edge: int, edges: list[int]) -> None:
    assert pyramid(edge) == edges


def test_coarse_arrays_show_the_same_density_in_the_same_place() -> None:
    """A blob has its centre of mass, in Å, where it has it in the array at full size."""
    line = np.arange(64)
    blob = np.exp(
        -((line[:, None, None] - 20) ** 2 + (line[:, None] - 31) ** 2 + (line - 45) ** 2) / 50
    ).astype(np.float32)
    coarse = halved(blob)
    assert coarse.sum() * 8 == pytest.approx(blob.sum(), rel=1e-5)

    def centre(volume: np.ndarray, size: float, start: float) -> np.ndarray:
        places = start + size * np.arange(len(volume))
        weights = volume / volume.sum()
        sums = [weights.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
        return np.array([(places * one).sum() for one in sums])

    fine = centre(blob, 1.5, -3.0)
    assert centre(coarse, 3.0, -3.0 + 0.75) == pytest.approx(fine, abs=1e-3)


def test_a_pyramid_on_the_disk(tiny_runs, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(napari, "_SMALLEST", 4)
    out = tmp_path / "a.ome.zarr"
    succeed("export", tiny_runs["tempor"], "--frames", "0-1", "--format", "napari", "-o", out)
    group = zarr.open_group(str(out), mode="r")
    require_ngff(group)
    datasets = group.attrs["multiscales"][0]["datasets"]
    assert [group[one["path"]].shape[1:] for one in datasets] == [(n,) * 3 for n in (16, 8, 4)]
    for fine, coarse in pairwise(datasets):
        np.testing.assert_allclose(
            group[coarse["path"]][0], halved(group[fine["path"]][0]), atol=1e-6
        )
        (one, at), (other, there) = (
            [change[change["type"]][1] for change in level["coordinateTransformations"]]
            for level in (fine, coarse)
        )
        assert other == pytest.approx(2 * one)
        assert there == pytest.approx(at + one / 2)


@pytest.mark.parametrize("times", [[0.5, 1.0, 2.0], [np.nan] * 3])
def test_uneven_or_unknown_times_are_no_scale(times, run: Run, tmp_path: Path) -> None:
    """The axis then counts volumes, has no unit, and the times stand beside."""
    other = replace(run, times_seconds=np.array([*times, *run.times_seconds[3:]]))
    job = make_job(other, frames_series(other, np.arange(3)), tmp_path / "a.ome.zarr")
    Napari().write(job)
    group, _, scale, translation = opened(tmp_path / "a.ome.zarr")
    assert (scale[0], translation[0]) == (1, 0)
    assert "unit" not in group.attrs["multiscales"][0]["axes"][0]
    known = times if np.isfinite(times).all() else None
    assert group.attrs["temporem"]["times_seconds"] == known


def test_output_is_replaced_only_where_it_is_an_image(tiny_runs, tmp_path: Path) -> None:
    out = tmp_path / "a.ome.zarr"
    arguments = ("export", tiny_runs["tempor"], "--frames", "0-2", "--format", "napari", "-o", out)
    assert "napari --plugin napari-ome-zarr" in succeed(*arguments)
    assert "exists" in refuse(tmp_path, *arguments)
    succeed(*arguments, "--overwrite")
    assert opened(out)[1].shape == (3, 16, 16, 16)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").touch()
    other = (*arguments[:-1], mine, "--overwrite")
    assert "is not an OME-Zarr image" in refuse(tmp_path, *other)
    assert "not napari" in refuse(tmp_path, *arguments[:-1], tmp_path / "b", "--resume")


def test_missing_library_is_named(tiny_runs, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    arguments = ("export", tiny_runs["tempor"], "--format", "napari", "-o", tmp_path / "a")
    assert "pip install 'temporem[napari]'" in refuse(tmp_path, *arguments)
