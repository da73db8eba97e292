"""CSV files of unknown origin."""

from __future__ import annotations

import contextlib
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temporem.errors import TemporemError
from temporem.io.csv_table import read_csv


def test_spaces_quotes_empty_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfimage, movie\r\n1@a.mrcs, "m, 1"\r\n\r\n2@a.mrcs ,m2\r\n')
    table = read_csv(path)
    assert table.strings("image") == ["1@a.mrcs", "2@a.mrcs"]
    assert table.strings("movie") == ["m, 1", "m2"]
    with pytest.raises(TemporemError, match=r"row 0 \(counted from 0\): movie is 'm, 1'"):
        table.ints("movie")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no usable first line"),
        (b"a,a\n1,2\n", "no usable first line"),
        (b"a,\n1,2\n", "no usable first line"),
        (b"a,b\n", "has no rows"),
        (b"image;movie\n1;a\n", "has semicolons between its values; expected commas"),
        (b"image\tmovie\n1\ta\n", "has tabs between its values; expected commas"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 values; expected 2"),
        (b'a,b\n"1,2\n', "not a CSV file"),
        (b"a,b\n\xff,2\n", "not a CSV file"),
        (b"a,b\n1,\0\n", "."),
    ],
)
def test_bad_file_is_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    if content.endswith(b"\0\n"):
        with contextlib.suppress(TemporemError):
            read_csv(path)
        return
    with pytest.raises(TemporemError, match=message) as caught:
        read_csv(path)
    assert "\n" not in str(caught.value)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with contextlib.suppress(TemporemError):
        assert read_csv(path).n_rows > 0


def test_memory_stays_near_the_size_of_the_file(tmp_path: Path) -> None:
    """The worst is a file of short values: 16 bytes are kept of each."""
    n_rows = 60_000
    path = tmp_path / "a.csv"
    path.write_text("image,movie\n" + "12,ab\n" * n_rows)
    tracemalloc.start()
    assert read_csv(path).ints("image").sum() == 12 * n_rows
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 7e6  # as lists of texts it would take 9 MB
