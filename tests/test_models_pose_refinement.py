"""Poses by Gauss–Newton: slopes against finite differences, exact recovery, honest spread."""

import torch

from pose_examples import MODEL, example
from temporem.models.pose_refinement import References, _Problem, refine_poses
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector

SHIFT_SD = 8.0


def perturbed(rotations: torch.Tensor, degrees: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    axes = torch.randn(len(rotations), 3, generator=generator, dtype=torch.float64)
    axes = axes / axes.norm(dim=-1, keepdim=True)
    return rotation_of_vector(torch.deg2rad(torch.tensor(degrees)) * axes) @ rotations


def test_gradient_channels_are_the_gradient_of_the_slices() -> None:
    data = example(1)
    references = References.of_volumes(data.volume[None], data.grid)
    generator = torch.Generator().manual_seed(1)
    points = 12 * torch.rand(1, 200, 3, generator=generator) - 6
    points[..., 0] = points[..., 0].abs() * torch.tensor([1.0, -1.0]).repeat(100)
    one = torch.ones(1, 1)
    value, gradient = references.sample(points, one)
    step = 0.5  # a voxel of the padded grid
    for axis in range(3):
        move = step * torch.eye(3)[axis]
        ahead, behind = (references.sample(points + s * move, one)[0] for s in (1, -1))
        numeric = (ahead - behind) / (2 * step)
        error = (numeric - gradient[..., axis]).abs().square().mean().sqrt()
        assert error < 0.1 * gradient[..., axis].abs().square().mean().sqrt()
    assert value.shape == (1, 200)


def test_slope_is_that_of_the_log_posterior() -> None:
    data = example(6, noise=0.5)
    references = References.of_volumes(data.volume[None], data.grid)
    problem = _Problem(MODEL, references, torch.ones(6, 1), data.images, data.contrast, SHIFT_SD)
    rotations, shifts = perturbed(data.rotations, 4.0), data.shifts + 1.0
    _, curvature, slope = problem.expand(rotations, shifts)
    numeric = torch.zeros_like(slope)
    for i in range(5):
        h = 0.02 if i < 3 else 0.2
        values = []
        for sign in (1, -1):
            turn, move = torch.zeros(3).double(), torch.zeros(2).double()
            (turn if i < 3 else move)[i % 3] = sign * h
            turned = rotation_of_vector(turn) @ rotations
            values.append(problem.expand(turned, shifts + move)[0])
        numeric[:, i] = (values[0] - values[1]) / (2 * h)
    scale = slope.abs().amax(0)
    assert ((numeric - slope).abs() / scale).max() < 0.15
    assert torch.linalg.eigvalsh(curvature).min() > 0


def test_poses_without_noise_are_recovered() -> None:
    data = example(30, shift_sd=2.0)
    references = References.of_volumes(data.volume[None], data.grid)
    fit = refine_poses(
        MODEL,
        references,
        torch.ones(30, 1),
        1e3 * data.images,  # little noise
        1e3 * data.contrast,
        perturbed(data.rotations, 4.0),
        torch.zeros(30, 2),
        shift_sd_angstrom=SHIFT_SD,
        iterations=12,
    )
    angle = geodesic_degrees(fit.rotations, data.rotations)
    assert angle.median() < 0.3
    assert (angle < 1).float().mean() > 0.9
    assert (fit.shifts_angstrom - data.shifts).norm(dim=-1).median() < 0.1


def test_spread_is_what_errors_are() -> None:
    """Errors divided by the posterior's standard deviations have a variance of about 1."""
    data = example(300, noise=1.0)
    references = References.of_volumes(data.volume[None], data.grid)
    fit = refine_poses(
        MODEL,
        references,
        torch.ones(300, 1),
        data.images,
        data.contrast,
        data.rotations,
        data.shifts,
        shift_sd_angstrom=SHIFT_SD,
        iterations=8,
    )
    variance = fit.covariance.diagonal(dim1=-2, dim2=-1)
    turn = torch.deg2rad(geodesic_degrees(fit.rotations, data.rotations)).square()
    move = (fit.shifts_angstrom - data.shifts).square().sum(-1)
    assert 0.6 < (turn / variance[:, :3].sum(-1)).median() / 0.79 < 1.6  # median of χ²₃ / 3
    assert 0.6 < (move / variance[:, 3:].sum(-1)).median() / 0.69 < 1.6  # of χ²₂ / 2


def test_a_mixture_is_the_volume_of_a_frame() -> None:
    data = example(4)
    other = data.volume.flip(0)
    grid = data.grid
    both = References.of_volumes(torch.stack([data.volume, other]), grid)
    sums = References.of_volumes((0.3 * data.volume - 0.7 * other)[None], grid)
    points = MODEL.slice_frequencies(data.rotations.float())
    mixture = torch.tensor([0.3, -0.7]).repeat(4, 1)
    for mixed, whole in zip(
        both.sample(points, mixture), sums.sample(points, torch.ones(4, 1)), strict=True
    ):
        torch.testing.assert_close(mixed, whole, rtol=1e-4, atol=1e-4 * float(whole.abs().max()))
