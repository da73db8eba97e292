"""Poses as a record: rows, and other reference frames, which leave images as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.physics.poses import Poses
from temporem.physics.rigid_transform import RigidTransform
from temporem.physics.rotations import random_rotations

GENERATOR = torch.Generator().manual_seed(0)


def some_poses(n: int) -> Poses:
    shifts = torch.randn(n, 2, generator=GENERATOR, dtype=torch.float64)
    sd = torch.arange(n, dtype=torch.float64)
    return Poses(random_rotations(n, GENERATOR), shifts, sd, 2 * sd)


@pytest.mark.parametrize("rows", [np.array([4, 1]), torch.tensor([4, 1]), slice(1, 3)])
def test_rows_are_those_of_every_field(rows: np.ndarray | torch.Tensor | slice) -> None:
    poses = some_poses(6)
    some = poses[rows]
    assert len(some) == 2
    for name, values in vars(poses).items():
        assert getattr(some, name).equal(values[rows])
    assert Poses.identity(6)[rows].angle_sd_degrees is None


def test_shapes_must_agree() -> None:
    with pytest.raises(TemporemError, match="shapes"):
        Poses(torch.eye(3)[None], torch.zeros(2, 2))
    with pytest.raises(TemporemError, match="shapes"):
        Poses(torch.eye(3)[None], torch.zeros(1, 2), torch.zeros(1, 1))


def test_another_reference_frame_leaves_the_images() -> None:
    """A point r of the other frame is at ``G r + t``, and its projection stays where it is."""
    poses, turn = some_poses(5), random_rotations(1, GENERATOR)[0]
    r, t = torch.randn(2, 3, generator=GENERATOR, dtype=torch.float64)
    transform = RigidTransform(turn, mirrored=False, shift_angstrom=t)
    moved = poses.transformed(transform)
    before = (poses.rotations @ (transform.linear @ r + t))[:, :2] + poses.shifts_angstrom
    after = (moved.rotations @ r)[:, :2] + moved.shifts_angstrom
    torch.testing.assert_close(after, before)
    assert moved.angle_sd_degrees is poses.angle_sd_degrees


def test_every_class_has_a_reference_frame_of_its_own() -> None:
    poses, classes = some_poses(9), np.arange(9) % 3
    transforms = [
        RigidTransform(turn, mirrored=False, shift_angstrom=move)
        for turn, move in zip(
            random_rotations(3, GENERATOR),
            torch.randn(3, 3, generator=GENERATOR, dtype=torch.float64),
            strict=True,
        )
    ]
    changed = poses.changed(transforms, classes)
    for number, transform in enumerate(transforms):
        mine = np.flatnonzero(classes == number)
        expected = poses[mine].transformed(transform)
        for name, values in vars(changed[mine]).items():
            torch.testing.assert_close(values, getattr(expected, name))
