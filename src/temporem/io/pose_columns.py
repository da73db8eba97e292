"""Columns of STAR files that hold poses, with RELION's names, units and signs."""

from __future__ import annotations

import numpy as np
import torch

from temporem.io.limits import ANGLE_DEGREES
from temporem.io.star import StarTable
from temporem.physics.poses import Poses
from temporem.physics.rotations import euler_to_rotation, origin_to_shift, rotation_to_euler

ANGLE_COLUMNS = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGIN_COLUMNS = ("rlnOriginXAngst", "rlnOriginYAngst")
POSE_COLUMNS = (*ANGLE_COLUMNS, *ORIGIN_COLUMNS)


def columns_from_poses(poses: Poses) -> dict[str, np.ndarray]:
    """Convert N poses to the five columns, each ``(N,)`` float64."""
    angles = rotation_to_euler(poses.rotations.to("cpu", torch.float64)).numpy()
    shifts = poses.shifts_angstrom.to("cpu", torch.float64)
    origins = origin_to_shift(shifts).numpy()  # its own inverse
    return {
        **dict(zip(ANGLE_COLUMNS, angles.T, strict=True)),
        **dict(zip(ORIGIN_COLUMNS, origins.T, strict=True)),
    }


def poses_from_table(
    table: StarTable, *, rows: np.ndarray | None = None, farthest_angstrom: float | None = None
) -> Poses:
    """Read poses from the five columns.

    Args:
        table: any table with the five columns; all its rows are checked.
        rows: which rows to return, in this order; all by default.
        farthest_angstrom: largest shift in x and y that is accepted; any by default.

    Raises:
        TemporemError: a column is missing, a value is not a number, or it is out of its limits.
    """
    table.require(*POSE_COLUMNS)
    origins = [table.floats(column) for column in ORIGIN_COLUMNS]
    if farthest_angstrom is not None:
        for column, values in zip(ORIGIN_COLUMNS, origins, strict=True):
            table.check(
                column,
                np.abs(values) <= farthest_angstrom,
                f"a particle inside the image, at most ±{farthest_angstrom:g} Å",
            )
    angles = [table.floats(column, limits=ANGLE_DEGREES) for column in ANGLE_COLUMNS]
    taken = slice(None) if rows is None else rows
    rotations = euler_to_rotation(torch.from_numpy(np.stack(angles, axis=-1)[taken]))
    shifts = origin_to_shift(torch.from_numpy(np.stack(origins, axis=-1)[taken]))
    return Poses(rotations, shifts)
