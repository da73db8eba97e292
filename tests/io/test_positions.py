"""Tables of places: what is written reads back, and no table of unknown origin does harm."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temporem.errors import TemporemError
from temporem.io.positions import Positions, read_positions, write_positions


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    positions = Positions(
        movies=np.array(["a.mrc", "b, c.tif"]),
        tracks=np.array(["7", "x"]),
        frames=np.array([1, 12]),
        places=np.array([[0.125, -3.5], [1000.0, 0.001]]),
    )
    write_positions(tmp_path / "a.csv", positions)
    found = read_positions(tmp_path / "a.csv")
    for name in ("movies", "tracks", "frames", "places"):
        np.testing.assert_array_equal(getattr(found, name), getattr(positions, name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the column movie"),
        ("movie,track,frame,x,y\n", "has no rows"),
        ("movie,track,frame,x,y\na,1,0,2,3\n", r"row 0 .*frame 0 at .* is impossible"),
        ("movie,track,frame,x,y\na,1,1,2,3\na,1,2,nan,3\n", r"row 1 .*is impossible"),
        ("movie,track,frame,x,y\na,1,1,2,inf\n", r"row 0 .*is impossible"),
        ("movie,track,frame,x,y\na,1,1,-1e9,3\n", r"row 0 .*is impossible"),
        ("movie,track,frame,x,y\na,1,1,2\n", r"row 0 .*x or y is no number"),
        ("movie,track,frame,x,y\na,1,1.5,2,2\n", r"row 0 .*x or y is no number"),
        ("movie,track,frame,x,y\n" + "a" * 200_000 + ",1,1,2,3\n", "field larger than field limit"),
        (
            "movie,track,frame,x,y\n" + "a" * 100_000 + ",1,1,2,3\n" + "a,1,1,2,3\n" * 3000,
            "a name of 100000 characters",
        ),
    ],
)
def test_bad_table_is_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(TemporemError, match=message):
        read_positions(tmp_path / "a.csv")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=80), st.integers(0, 60))
def test_any_bytes_are_a_table_or_an_error(tmp_path: Path, junk: bytes, place: int) -> None:
    whole = b"movie,track,frame,x,y\na.mrc,1,1,2.5,3\na.mrc,1,2,2.5,4\n"
    (tmp_path / "a.csv").write_bytes(whole[:place] + junk + whole[place + len(junk) // 2 :])
    with contextlib.suppress(TemporemError):
        found = read_positions(tmp_path / "a.csv")
        assert np.isfinite(found.places).all()
        assert len(found.movies) == len(found.tracks) == len(found.frames) > 0
