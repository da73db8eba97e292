"""OME-Zarr images: metadata by the rules of OME-NGFF 0.4, and the voxels."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from helpers.bad_input import refuse
from helpers.commands import succeed
from helpers.exports import make_job
from temporem.exporting.napari import Napari
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
