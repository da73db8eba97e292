"""``.npz`` files of unknown origin are read or refused in one line, and nothing in them is run."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temporem.errors import TemporemError
from temporem.io.npz import NpzFile


def read(path: Path) -> NpzFile:
    return NpzFile(path, what="arrays of a test", hint="make it again")


def with_entry(path: Path, name: str, content: bytes) -> Path:
    """A file with an array ``x`` and an entry of any content."""
    np.savez(path, x=np.arange(3.0))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content)
    return path


def test_arrays_are_taken_by_kind_and_shape(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2)), names=np.array(["a", "b"]))
    file = read(tmp_path / "a.npz")
    assert file.take("x", "f", 3, 2).shape == (3, 2)
    assert file.take("names", "U", None).tolist() == ["a", "b"]
    for name, kinds, shape, found in [
        ("x", "i", (3, 2), "float64 of shape"),
        ("x", "f", (2, 3), r"expected float64 of shape 2 x 3"),
        ("x", "f", (None,), r"expected float64 of shape any number"),
        ("y", "f", (3,), "y is nothing"),
    ]:
        with pytest.raises(TemporemError, match=found):
            file.take(name, kinds, *shape)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"hello"),
        ("y.npy", b"not an array"),
        ("y.npy", b""),
        ("y.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': 'O', 'fort"),
    ],
    ids=["text", "text by the name of an array", "nothing", "half a header"],
)
def test_entry_that_is_no_array_is_one_clear_line(name, content, tmp_path):
    path = with_entry(tmp_path / "a.npz", name, content)
    with pytest.raises(TemporemError, match=r"a\.npz: damaged, or not an \.npz file") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_pickles_are_not_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(TemporemError, match="damaged, or not"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("cut", [0, 1, 100, -10])
def test_damaged_file_is_one_clear_line(cut, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(100.0))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TemporemError, match="damaged, or not"):
        read(path)


def test_missing_file_is_said(tmp_path):
    with pytest.raises(
        TemporemError, match=r"no file .*; expected arrays of a test; make it again"
    ):
        read(tmp_path / "a.npz")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_archives_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    save = data.draw(st.sampled_from((np.savez, np.savez_compressed)))
    save(tmp_path / "whole.npz", x=np.arange(40.0), names=np.array(["a", "b"]))
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 1] = data.draw(st.binary(max_size=3))
    (tmp_path / "a.npz").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(TemporemError):
        file = read(tmp_path / "a.npz")
        for name in file.names:
            with contextlib.suppress(TemporemError):
                assert np.isfinite(file.numbers(name, "float64", None)).all()
