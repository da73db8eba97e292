"""Poses in RELION's columns: their signs, their limits, and the way back."""

import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.io.pose_columns import POSE_COLUMNS, columns_from_poses, poses_from_table
from temporem.io.star import StarTable
from temporem.physics.poses import Poses
from temporem.physics.rotations import random_rotations


def poses(n: int) -> Poses:
    generator = torch.Generator().manual_seed(0)
    shifts = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return Poses(random_rotations(n, generator), shifts)


def test_poses_come_back_from_their_columns() -> None:
    written = poses(20)
    columns = columns_from_poses(written)
    assert tuple(columns) == POSE_COLUMNS
    back = poses_from_table(StarTable(columns))
    torch.testing.assert_close(back.rotations, written.rotations, rtol=0, atol=1e-12)
    assert back.shifts_angstrom.equal(written.shifts_angstrom)


def test_origin_is_minus_the_displacement() -> None:
    columns = columns_from_poses(Poses(torch.eye(3)[None], torch.tensor([[3.0, -2.0]])))
    assert (columns["rlnOriginXAngst"], columns["rlnOriginYAngst"]) == (-3, 2)


def test_rows_are_taken_in_the_order_asked_for() -> None:
    table = StarTable(columns_from_poses(poses(5)))
    whole, taken = poses_from_table(table), poses_from_table(table, rows=np.array([3, 1]))
    torch.testing.assert_close(taken.rotations, whole.rotations[[3, 1]], rtol=0, atol=1e-15)
    assert taken.shifts_angstrom.equal(whole.shifts_angstrom[[3, 1]])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("rlnAngleTilt", 1e300, "row 1 .*_rlnAngleTilt.* from -1000000 to 1000000"),
        ("rlnOriginYAngst", 51.0, "row 1 .*_rlnOriginYAngst.*at most ±50 Å"),
        ("rlnOriginXAngst", np.nan, "row 1 .*_rlnOriginXAngst.*finite"),
    ],
)
def test_bad_value_is_named_with_its_row(column: str, value: float, message: str) -> None:
    columns = columns_from_poses(poses(3))
    columns[column] = columns[column].copy()
    columns[column][1] = value
    with pytest.raises(TemporemError, match=message):
        poses_from_table(StarTable(columns), farthest_angstrom=50)


def test_missing_columns_are_named_together() -> None:
    columns = columns_from_poses(poses(3))
    del columns["rlnAnglePsi"], columns["rlnOriginXAngst"]
    with pytest.raises(TemporemError, match="lacks _rlnAnglePsi and _rlnOriginXAngst"):
        poses_from_table(StarTable(columns))
