"""What moves in a cloud: a planted hinge is found, and nothing where nothing moves."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from scipy.stats import binom

from helpers.turning_cloud import AXIS, DEGREES, PIXEL, POINT, TurningCloud
from temporem.physics.screw_axis import axis_distance, axis_error_degrees
from temporem.volumes.cloud_motion import CloudMotion, latents_along, measure_motion
from temporem.volumes.rigid_bodies import find_rigid_bodies

SD = 0.15


def latents(n: int = 200, sd: float = SD) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """True latents, posterior means with an error of the size of the posterior's, covariances."""
    random = torch.Generator().manual_seed(1)
    true = 1.5 * torch.randn(n, 1, generator=random)
    means = true + sd * torch.randn(n, 1, generator=random)
    return true, means, torch.full((n, 1, 1), sd**2)


@pytest.fixture(scope="module")
def measured() -> Callable[..., CloudMotion]:
    @cache
    def measure(**cloud: float) -> CloudMotion:
        _, means, covariance = latents()
        return measure_motion(TurningCloud(**cloud), means, covariance, PIXEL)

    return measure


@pytest.mark.parametrize("whole_degrees", [0.0, 20.0])
def test_planted_hinge_is_found(measured: Callable[..., CloudMotion], whole_degrees: float) -> None:
    """Its axis, point and angles, also while everything turns about another axis."""
    cloud = TurningCloud(whole_degrees=whole_degrees)
    found = measured(whole_degrees=whole_degrees)
    assert found.moves
    assert len(found.bodies) == 2
    assert found.bodies.labels.equal(cloud.turning.long())
    (hinge,) = found.hinges
    assert (hinge.body, hinge.against) == (1, 0)
    assert hinge.turns
    assert hinge.single
    _, means, _ = latents()
    centre = 2 * POINT
    if not whole_degrees:  # else the axis is where the body is in the reference state
        assert axis_error_degrees(hinge.axis.direction, AXIS) < 0.01
        distance = axis_distance(hinge.axis.direction, hinge.axis.point, AXIS, centre, near=centre)
        assert distance < 0.01
    angles = hinge.angle_degrees.value
    expected = DEGREES * (means[:, 0] - found.path_latents[0, 0]).double()
    torch.testing.assert_close(angles, expected, atol=0.01, rtol=0)
    assert hinge.axis.slide.abs().max() < 0.01
    assert found.path.shape == (20, 600, 3)


def test_turn_of_everything_is_no_hinge(measured: Callable[..., CloudMotion]) -> None:
    found = measured(degrees=0.0, whole_degrees=20.0)
    assert not found.moves
    assert found.hinges == ()
    assert found.travel.max() < 1e-6
    assert found.whole_degrees > 60


def test_still_cloud_does_not_move(measured: Callable[..., CloudMotion]) -> None:
    found = measured(degrees=0.0)
    assert not found.moves
    assert found.hinges == ()


def test_motion_within_the_band_is_not_claimed() -> None:
    """Latents of which the frames say nothing: means hardly differ, posteriors are wide."""
    random = torch.Generator().manual_seed(1)
    means = 0.1 * torch.randn(200, 1, generator=random)
    found = measure_motion(TurningCloud(), means, torch.ones(200, 1, 1), PIXEL)
    assert not any(hinge.turns for hinge in found.hinges)
    assert not found.moves


def test_bands_hold_the_true_angles_and_displacements(
    measured: Callable[..., CloudMotion],
) -> None:
    """In nine frames of ten; within what chance leaves of 200 frames."""
    true, _, _ = latents()
    found = measured()
    hinge = found.hinges[0].angle_degrees
    angles = DEGREES * (true[:, 0] - found.path_latents[0, 0]).double()
    reference = found.path_latents[found.bodies.reference]
    cloud, turning = TurningCloud(), TurningCloud().turning
    moved = PIXEL * (cloud.positions(true) - cloud.positions(reference[None]))[:, turning]
    weights = cloud.weights[turning]
    away = moved.norm(dim=-1) @ weights / weights.sum()
    band = found.displacement
    # A band of 40 samples holds 90 % less 2 %, as quantiles of a finite sample are biased.
    low, high = binom.interval(0.999, 200, 0.88)
    for value, least, most in (
        (angles, hinge.low, hinge.high),
        (away, band.low[:, 1], band.high[:, 1]),
    ):
        inside = int(((least <= value) & (value <= most)).sum())
        assert low <= inside <= high


def test_travel_is_the_longest_way(measured: Callable[..., CloudMotion]) -> None:
    found, cloud = measured(), TurningCloud()
    swept = DEGREES * (found.path_latents[-1] - found.path_latents[0]).double()
    arm = cloud.rest - POINT
    radius = PIXEL * (arm - (arm @ AXIS)[:, None] * AXIS).norm(dim=1)
    # Where the turn is above 180°, some two states are nearly opposite.
    chord = 2 * radius * torch.sin((swept / 2).deg2rad()) if swept < 180 else 2 * radius
    torch.testing.assert_close(
        found.travel[cloud.turning], chord[cloud.turning], rtol=0.02, atol=0.01
    )
    assert found.travel[~cloud.turning].max() < 1e-6
    assert found.body_travel()[1] > 1


def test_certain_latents_have_bands_of_no_width() -> None:
    _, means, _ = latents(50)
    found = measure_motion(TurningCloud(), means, None, PIXEL)
    assert found.hinges[0].angle_degrees.width == 0


def test_two_parts_that_turn_are_two_bodies() -> None:
    """A third body beside: each hinge is against the body that it touches."""
    cloud = TurningCloud()
    angles = torch.linspace(-1, 1, 15)[:, None]
    states = cloud.positions(angles)
    far = states[:, cloud.turning] * torch.tensor([-1.0, 1, 1]).double()
    both = torch.cat([states, far], dim=1)
    weights = torch.cat([cloud.weights, cloud.weights[cloud.turning]])
    found = find_rigid_bodies(both, weights, 0.1)
    assert len(found) == 3
    assert len(found.labels[:450].unique()) == 1
    assert len(found.labels[450:600].unique()) == 1
    assert len(found.labels[600:].unique()) == 1
    assert found.misfit[-1] < 0.1


def test_noise_of_single_points_makes_no_bodies() -> None:
    cloud = TurningCloud(noise=0.3)
    states = cloud.positions(torch.linspace(-1, 1, 15)[:, None])
    found = find_rigid_bodies(states, cloud.weights, 0.1)
    assert len(found) == 2
    assert (found.labels.bool() == cloud.turning).double().mean() > 0.98


def test_path_follows_one_latent_evenly_and_several_through_the_frames() -> None:
    _, means, _ = latents()
    path = latents_along(means, 5)
    torch.testing.assert_close(path.diff(dim=0), path.diff(dim=0).mean().expand(4, 1))
    bent = torch.cat([means, means**2], dim=1)
    path = latents_along(bent, 12)
    assert path.shape == (12, 2)
    assert (path[:, 1] - path[:, 0] ** 2).abs().max() < 0.6  # on the curve, not beside it
