"""Names that a wrong one may stand for."""

import pytest

from temporem.io.close_names import close_names

COLUMNS = [
    "z1",
    "z2",
    "frame",
    "movie",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnAngleTilt",
    "rlnGroupName",
]


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ("Z1", ["z1"]),
        ("defocus", ["rlnDefocusU", "rlnDefocusV"]),
        ("tilt", ["rlnAngleTilt"]),
        ("_rlnGroupname", ["rlnGroupName"]),
        ("frames", ["frame"]),
        ("nothing of the kind", []),
        ("", []),
    ],
)
def test_close_names(wrong: str, found: list[str]) -> None:
    assert sorted(close_names(wrong, COLUMNS)[: len(found) or None]) == found
