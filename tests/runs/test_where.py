"""Conditions on frames: what they mean, and that nothing else gets through."""

from __future__ import annotations

import numpy as np
import pytest

from temporem.errors import TemporemError
from temporem.runs.where import rows_where

COLUMNS = {
    "z1": np.array([-1.0, 0.0, 1.0, 2.0]),
    "z2": np.array([1.0, 0.5, 0.0, np.nan]),
    "frame": np.array([1, 2, 1, 2]),
    "movie": np.array(["a", "a", "b", "c"]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("z1 > 0.5", [2, 3]),
        ("z1 >= 1", [2, 3]),
        ("-1 < z1 < 2", [1, 2]),
        ("z1 > -0.5 and not frame == 2", [2]),
        ("z1 < 0 or frame == 1", [0, 2]),
        ("z1 < 0 or z1 > 1 and frame == 1", [0]),  # and binds more tightly
        ("z1**2 + z2**2 <= 1", [1, 2]),
        ("z1 / 2 - 1 == 0", [3]),
        ("z2 != 0", [0, 1, 3]),  # not a number differs from all numbers
        ("z2 >= 0", [0, 1, 2]),
        ('movie == "a"', [0, 1]),
        ("movie != 'a' and frame < 2", [2]),
        ('movie in ("b", "c")', [2, 3]),
        ("frame not in [1]", [1, 3]),
        ("frame in ()", []),
        ("1 < 2", [0, 1, 2, 3]),
        ("z1 / 0 > 1", [2, 3]),
    ],
)
def test_conditions_hold_where_they_should(text: str, expected: list[int]) -> None:
    found = rows_where(text, COLUMNS)
    assert found.shape == (4,)
    assert np.flatnonzero(found).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not understood"),
        ("z1 >", "not understood"),
        ("z1 = 3", "not understood"),
        ("z9 > 0", "no column z9; expected z1, z2, frame, movie, or another"),
        ("colour > 0", "expected z1, z2, frame, movie, or another column of frames.star"),
        ("z1", "no comparison"),
        ("z1 + 1", "no comparison"),
        ("movie > 3", "compares a text with a number"),
        ("movie + 1 > 3", "movie is a text"),
        ("z1 is 3", "unknown comparison"),
        ("frame in movie", "is no list"),
        ("__import__('os').system('touch hacked') == 0", "neither a column"),
        ("z1.__class__ == 3", "neither a column"),
        ("(lambda: 1)() == 1", "neither a column"),
        ("[x for x in (1,)] == 1", "neither a column"),
        ("(z1 := 3) > 2", "neither a column"),
        ("f'{z1}' == 'a'", "neither a column"),
        ("z1[0] > 2", "neither a column"),
        ("(3 if z1 else 2) > 1", "neither a column"),
        ("b'a' == movie", "neither a column"),
        ("1j > z1", "neither a column"),
        ("None == z1", "neither a column"),
        ("z1 @ z1 > 0", "neither a column"),
        ("1" * 400 + " > z1", "too large"),
        ("z1 > " + "-" * 900 + "1", "not understood"),
        ("z1 > " + "(" * 400 + "1" + ")" * 400, "not understood"),
        ("z1 > 0" + " " * 1000, "1006 characters"),
        ("z1 > 0\x00", "not understood"),
    ],
)
def test_all_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(TemporemError, match=message.replace("(", r"\(")):
        rows_where(text, COLUMNS)


def test_powers_of_large_numbers_take_no_time() -> None:
    """They are floating point numbers, not integers of unlimited size."""
    assert not rows_where("9**9**9**9**9 < z1", COLUMNS).any()
