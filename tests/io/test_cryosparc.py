"""``.cs`` files: read without pickle, and no size in a header is taken on trust."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.io.cryosparc import read_cs, with_poses, write_cs

SPECIMEN = SHARED / "specimens" / "cryosparc" / "empiar_10076_7.cs"
EXPORTED = SHARED / "specimens" / "cryosparc" / "cryosparc_J2_particles_exported.cs"


@pytest.mark.parametrize("path", [SPECIMEN, EXPORTED])
def test_specimen_agrees_with_numpy(path: Path) -> None:
    table, records = read_cs(path), np.load(path)
    assert len(table) == len(records)
    for field in records.dtype.names:
        values, shape = records[field], records.dtype[field].shape
        if values.dtype.kind == "S":
            assert table.texts(field).tolist() == [text.decode() for text in values]
        else:
            width = shape[0] if shape else 1
            assert np.array_equal(table.numbers(field, width), values.astype(np.float64))


def header_of(shape: tuple[int, ...], dtype: object) -> bytes:
    file = io.BytesIO()
    npy.write_array_header_1_0(
        file, {"shape": shape, "fortran_order": False, "descr": npy.dtype_to_descr(np.dtype(dtype))}
    )
    return file.getvalue()


FIELDS = [("uid", "<u8"), ("blob/idx", "<u4")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a .cs file"),
        (b"\x94CSDAT" + bytes(100), "compressed stream of cryosparc-tools"),
        (header_of((10**9,), FIELDS) + bytes(120), "declares 1000000000 particles"),
        (header_of((2**62,), FIELDS) + bytes(120), "is cut short"),
        (header_of((3,), FIELDS) + bytes(35), "is cut short"),
        (header_of((0,), FIELDS), "has no particles"),
        (header_of((3, 3), FIELDS) + bytes(200), "holds no table"),
        (header_of((3,), "f8") + bytes(24), "holds no table"),
        (header_of((3,), [("uid", "O")]) + b"cos\nsystem\n", "Python objects, which only pickle"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': {}, }\n", "damaged header"),
    ],
)
def test_bad_file_is_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.cs"
    path.write_bytes(content)
    with pytest.raises(TemporemError, match=message) as caught:
        read_cs(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_are_checked_by_row(tmp_path: Path) -> None:
    records = np.zeros(3, dtype=[*FIELDS, ("a", "f4"), ("name", "S8")])
    records["uid"], records["a"][1] = [5, 6, 5], np.nan
    records["name"][2] = b"\xff\xfe"
    with (tmp_path / "a.cs").open("wb") as file:
        np.save(file, records)
    table = read_cs(tmp_path / "a.cs")
    with pytest.raises(TemporemError, match=r"row 1 \(counted from 0\): a is nan"):
        table.numbers("a")
    with pytest.raises(TemporemError, match="name is not UTF-8"):
        table.texts("name")
    with pytest.raises(TemporemError, match="expected numbers, 2 for each particle"):
        table.numbers("a", 2)
    with pytest.raises(TemporemError, match=r"lacks blob/path.*passthrough"):
        table.require("blob/path")
    with pytest.raises(TemporemError, match="names a uid twice"):
        table.joined(table)


def test_passthrough_of_other_particles_is_refused(tmp_path: Path) -> None:
    one = np.zeros(2, dtype=FIELDS)
    other = one.copy()
    one["uid"], other["uid"] = [1, 2], [1, 3]
    for name, records in (("a.cs", one), ("b.cs", other)):
        with (tmp_path / name).open("wb") as file:
            np.save(file, records)
    with pytest.raises(TemporemError, match=r"b\.cs lacks particles of .*a\.cs"):
        read_cs(tmp_path / "a.cs").joined(read_cs(tmp_path / "b.cs"))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_files_never_do_worse_than_an_error(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(SPECIMEN.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 1] = data.draw(st.binary(max_size=3))
    path = tmp_path / "a.cs"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(TemporemError):
        table = read_cs(path)
        for field in table.scalar_fields:
            table.numbers(field) if field != "blob/path" else table.texts(field)


@pytest.mark.parametrize("path", [SPECIMEN, EXPORTED])
def test_rows_keep_types_ids_and_values(path: Path, tmp_path: Path) -> None:
    table = read_cs(path).records
    write_cs(tmp_path / "out.cs", table[2:5])
    found = np.load(tmp_path / "out.cs", allow_pickle=False)
    assert found.dtype == table.dtype
    assert found.tobytes() == table[2:5].tobytes()
    assert table["uid"].dtype == np.uint64


def test_poses_are_added_or_replaced() -> None:
    table = read_cs(EXPORTED).records
    n = len(table)
    vectors, shifts = np.arange(3 * n).reshape(n, 3), np.arange(2 * n).reshape(n, 2)
    posed = with_poses(table, vectors, shifts, np.full(n, 1.5))
    for name in set(table.dtype.names) - {"alignments3D/pose", "alignments3D/shift"}:
        if name != "alignments3D/psize_A":
            np.testing.assert_array_equal(posed[name], table[name])
    np.testing.assert_array_equal(posed["alignments3D/pose"], vectors)
    again = with_poses(posed, 2 * vectors, shifts, np.full(n, 1.5))
    assert again.dtype == posed.dtype
    np.testing.assert_array_equal(again["alignments3D/pose"], 2 * vectors)
    np.testing.assert_array_equal(again["alignments3D/shift"], shifts)
