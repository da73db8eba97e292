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


def body(random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """An arm of 30 points, ten times as long as wide, and their weights."""
    size = torch.tensor([1.0, 1.0, 10.0], dtype=torch.float64)
    points = size * torch.randn(30, 3, generator=random, dtype=torch.float64)
    return points + 3, torch.rand(30, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("start", [0.0, 40.0])
def test_axis_point_and_angles_are_found(start: float, random: torch.Generator) -> None:
    angles = torch.linspace(start, start + 90, 12, dtype=torch.float64)
    found = screw_axis(screws(angles), *body(random), near=torch.tensor([9.0, 9, 9]).double())
    found = found if found.direction @ AXIS > 0 else found.reversed
    torch.testing.assert_close(found.direction, AXIS)
    assert found.share == pytest.approx(1)
    torch.testing.assert_close(found.angle_degrees, angles)
    torch.testing.assert_close(found.slide, torch.zeros(12).double(), atol=1e-6, rtol=0)
    offset = found.point - POINT
    torch.testing.assert_close(offset, (offset @ AXIS) * AXIS)  # on the axis
    assert abs((found.point - 9) @ AXIS) < 1e-9  # its point nearest to (9, 9, 9)
    torch.testing.assert_close(found.angles_of(screws(angles)), found.angle_degrees)


def test_slide_along_the_axis_is_measured(random: torch.Generator) -> None:
    """One that goes to and fro while the body turns, so that no tilted axis explains it."""
    angles = torch.linspace(-60, 60, 25, dtype=torch.float64)
    slide = 0.5 * (angles / 20).sin()
    motions = screws(angles)
    motions = RigidMotions(motions.rotations, motions.shifts + slide[:, None] * AXIS)
    found = screw_axis(motions, *body(random), near=POINT)
    found = found if found.direction @ AXIS > 0 else found.reversed
    assert axis_error_degrees(found.direction, AXIS) < 3
    assert torch.corrcoef(torch.stack([found.slide, slide]))[0, 1] > 0.9
    assert found.share < 1


def test_turns_of_an_arm_about_its_length_hardly_tilt_the_axis(random: torch.Generator) -> None:
    """They move the arm little, so they say little; by rotations alone the axis would tilt."""
    angles = torch.linspace(0, 60, 12, dtype=torch.float64)
    z = torch.tensor([0.0, 0, 1], dtype=torch.float64)
    twist = rotation_about_axis(z.expand(12, 3), (0.3 * angles).deg2rad())
    points, weights = body(random)
    centre = weights @ points / weights.sum()
    twists = RigidMotions(twist, centre - twist @ centre)
    x = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    turn = rotation_about_axis(x.expand(12, 3), angles.deg2rad())
    found = screw_axis(
        RigidMotions(turn, torch.zeros(12, 3).double()).after(twists), points, weights, near=POINT
    )
    assert axis_error_degrees(found.direction, x) < 4  # by rotations alone 17


def test_turns_about_many_axes_have_no_single_one(random: torch.Generator) -> None:
    vectors = 0.2 * torch.randn(200, 3, generator=random, dtype=torch.float64)
    rotations = rotation_about_axis(vectors, vectors.norm(dim=1))
    motions = RigidMotions(rotations, torch.zeros(200, 3).double())
    found = screw_axis(motions, *body(random), near=POINT)
    assert found.share < 0.8


def test_errors_of_axes() -> None:
    x, y = torch.eye(3, dtype=torch.float64)[:2]
    assert axis_error_degrees(x, -x) == 0
    assert axis_error_degrees(x, y) == pytest.approx(90)
    moved = torch.tensor([7.0, 3, 4], dtype=torch.float64)
    assert axis_distance(x, 0 * moved, x, moved, near=100 * x) == pytest.approx(5)
