"""Rigid motions and screw axes: planted ones are found."""

import pytest
import torch

from temporem.physics.rotations import random_rotations, rotation_about_axis
from temporem.physics.screw_axis import (
    RigidMotions,
    axis_distance,
    axis_error_degrees,
    fit_rigid_motions,
    screw_axis,
    turn_about,
)

AXIS = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
POINT = torch.tensor([5.0, 4.0, -3.0], dtype=torch.float64)


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def screws(angles: torch.Tensor, slide: float = 0.0) -> RigidMotions:
    """Turns about AXIS through POINT, degrees, with a slide for each degree."""
    rotations = rotation_about_axis(AXIS.expand(len(angles), 3), angles.deg2rad())
    shifts = POINT - rotations @ POINT + slide * angles[:, None] * AXIS
    return RigidMotions(rotations, shifts)


def test_motions_of_points_are_found(random: torch.Generator) -> None:
    points = torch.randn(20, 3, generator=random, dtype=torch.float64)
    motions = RigidMotions(random_rotations(4, random), torch.arange(12.0).view(4, 3).double())
    found = fit_rigid_motions(points, motions(points), torch.rand(20, generator=random).double())
    torch.testing.assert_close(found.rotations, motions.rotations)
    torch.testing.assert_close(found.shifts, motions.shifts)


def test_weights_choose_what_the_motion_follows(random: torch.Generator) -> None:
    points = torch.randn(20, 3, generator=random, dtype=torch.float64)
    after = points.clone()
    after[:5] += 3
    weights = torch.ones(20, dtype=torch.float64)
    weights[:5] = 0
    found = fit_rigid_motions(points, after, weights)
    torch.testing.assert_close(found(points), points)


def test_mirror_images_are_not_rigid(random: torch.Generator) -> None:
    points = torch.randn(20, 3, generator=random, dtype=torch.float64)
    found = fit_rigid_motions(points, -points, torch.ones(20, dtype=torch.float64))
    assert torch.linalg.det(found.rotations) == pytest.approx(1)


def test_inverse_and_order(random: torch.Generator) -> None:
    points = torch.randn(5, 3, generator=random, dtype=torch.float64)
    a, b = (
        RigidMotions(random_rotations(1, random)[0], torch.tensor(shift, dtype=torch.float64))
        for shift in ((1.0, 2, 3), (-4.0, 0, 1))
    )
    torch.testing.assert_close(b.after(a)(points), b(a(points)))
    torch.testing.assert_close(a.inverse(a(points)), points)


@pytest.mark.parametrize("slide", [0.0, 0.1])
@pytest.mark.parametrize("start", [0.0, 40.0])
def test_axis_point_angles_and_slide_are_found(start: float, slide: float) -> None:
    """Wherever the reference state is: rotations need not pass the identity."""
    angles = torch.linspace(start, start + 90, 12, dtype=torch.float64)
    found = screw_axis(screws(angles, slide), near=torch.tensor([9.0, 9, 9]).double())
    torch.testing.assert_close(found.direction, AXIS)
    assert found.share == pytest.approx(1)
    torch.testing.assert_close(found.angle_degrees, angles)
    torch.testing.assert_close(found.slide, slide * angles, atol=1e-9, rtol=0)
    offset = found.point - POINT
    torch.testing.assert_close(offset, (offset @ AXIS) * AXIS)  # on the axis
    assert abs((found.point - 9) @ AXIS) < 1e-9  # its point nearest to (9, 9, 9)


def test_last_motion_turns_further_than_the_first() -> None:
    angles = torch.linspace(0, 60, 5, dtype=torch.float64)
    falling = screw_axis(screws(angles.flip(0)), near=POINT)
    torch.testing.assert_close(falling.direction, -AXIS)


def test_turns_about_many_axes_have_no_single_one(random: torch.Generator) -> None:
    vectors = 0.2 * torch.randn(200, 3, generator=random, dtype=torch.float64)
    rotations = rotation_about_axis(vectors, vectors.norm(dim=1))
    found = screw_axis(RigidMotions(rotations, torch.zeros(200, 3).double()), near=POINT)
    assert found.share < 0.5


def test_turn_about_an_axis_leaves_out_the_rest() -> None:
    across = torch.tensor([1.0, 2, 0], dtype=torch.float64)
    across = across / across.norm()
    assert across @ AXIS == pytest.approx(0)
    swing = rotation_about_axis(across, torch.tensor(0.4, dtype=torch.float64))
    twist = rotation_about_axis(AXIS, torch.tensor(1.1, dtype=torch.float64))
    degrees = torch.tensor(1.1, dtype=torch.float64).rad2deg()
    torch.testing.assert_close(turn_about(AXIS, swing @ twist), degrees)


def test_errors_of_axes() -> None:
    x, y = torch.eye(3, dtype=torch.float64)[:2]
    assert axis_error_degrees(x, -x) == 0
    assert axis_error_degrees(x, y) == pytest.approx(90)
    moved = torch.tensor([7.0, 3, 4], dtype=torch.float64)
    assert axis_distance(x, 0 * moved, x, moved, near=100 * x) == pytest.approx(5)
