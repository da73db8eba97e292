"""Poses by Gauss–Newton: slopes against finite differences, exact recovery, honest spread."""

import torch

from helpers.pose_examples import MODEL, example
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector
from temporem.poses.refinement import (
    PoseFit,
    References,
    RotationPrior,
    _Problem,
    refine_poses,
)
from temporem.poses.scores import slice_volume

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
    assert value.shape == (1, 200, 1)
    step = 0.5  # a voxel of the padded grid
    for axis in range(3):
        move = step * torch.eye(3)[axis]
        ahead, behind = (references.sample(points + s * move, one)[0][..., 0] for s in (1, -1))
        numeric = (ahead - behind) / (2 * step)
        error = (numeric - gradient[..., axis]).abs().square().mean().sqrt()
        assert error < 0.1 * gradient[..., axis].abs().square().mean().sqrt()


def test_slope_is_that_of_the_log_posterior() -> None:
    data = example(6, noise=0.5)
    references = References.of_volumes(data.volume[None], data.grid)
    problem = _Problem(MODEL, references, data.images, data.ctf, SHIFT_SD)
    rotations, shifts = perturbed(data.rotations, 4.0), data.shifts + 1.0
    _, curvature, slope = problem.expand(rotations, shifts, shifts[:, :0])
    numeric = torch.zeros_like(slope)
    for i in range(5):
        h = 0.02 if i < 3 else 0.2
        values = []
        for sign in (1, -1):
            turn, move = torch.zeros(3).double(), torch.zeros(2).double()
            (turn if i < 3 else move)[i % 3] = sign * h
            turned = rotation_of_vector(turn) @ rotations
            values.append(problem.expand(turned, shifts + move, shifts[:, :0])[0])
        numeric[:, i] = (values[0] - values[1]) / (2 * h)
    scale = slope.abs().amax(0)
    assert ((numeric - slope).abs() / scale).max() < 0.15
    assert torch.linalg.eigvalsh(curvature).min() > 0


def test_slope_has_the_pull_of_a_prior() -> None:
    """As above, of the difference that a prior makes: no image, no interpolation."""
    data = example(4)
    references = References.of_volumes(data.volume[None], data.grid)
    root = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    prior = RotationPrior(perturbed(data.rotations, 2.0), root @ root.mT + torch.eye(3))
    problems = [
        _Problem(MODEL, references, data.images, data.ctf, SHIFT_SD, p) for p in (prior, None)
    ]

    def difference(turns: torch.Tensor) -> list[torch.Tensor]:
        at = rotation_of_vector(turns) @ data.rotations, data.shifts, data.shifts[:, :0]
        return [a - b for a, b in zip(*(p.expand(*at) for p in problems), strict=True)]

    here = torch.zeros(4, 3, dtype=torch.float64)
    _, curvature, slope = difference(here)
    torch.testing.assert_close(curvature[:, :3, :3], prior.precision)
    assert slope[:, 3:].abs().max() == 0
    for i in range(3):
        step = 1e-4 * torch.eye(3, dtype=torch.float64)[i]
        numeric = (difference(here + step)[0] - difference(here - step)[0]) / 2e-4
        torch.testing.assert_close(
            slope[:, i], numeric, atol=0.03 * float(slope.abs().max()), rtol=0
        )


def test_a_strong_prior_decides() -> None:
    data = example(10, noise=1.0)
    references = References.of_volumes(data.volume[None], data.grid)
    mean = perturbed(data.rotations, 6.0)
    strong = 1e9 * torch.eye(3, dtype=torch.float64).repeat(10, 1, 1)
    fit = refine_poses(
        MODEL,
        references,
        data.images,
        data.ctf,
        data.rotations,
        data.shifts,
        shift_sd_angstrom=SHIFT_SD,
        iterations=8,
        prior=RotationPrior(mean, strong),
    )
    assert geodesic_degrees(fit.rotations, mean).max() < 0.05
    spread = fit.covariance.diagonal(dim1=-2, dim2=-1)[:, :3]
    torch.testing.assert_close(spread, torch.full_like(spread, 1e-9), rtol=1e-3, atol=0)


def test_poses_without_noise_are_recovered() -> None:
    data = example(30, shift_sd=2.0)
    references = References.of_volumes(data.volume[None], data.grid)
    fit = refine_poses(
        MODEL,
        references,
        1e3 * data.images,  # little noise
        1e3 * data.ctf,
        perturbed(data.rotations, 4.0),
        torch.zeros(30, 2),
        shift_sd_angstrom=SHIFT_SD,
        iterations=12,
    )
    angle = geodesic_degrees(fit.rotations, data.rotations)
    assert angle.median() < 0.3
    assert (angle < 1).float().mean() > 0.9
    assert (fit.shifts_angstrom - data.shifts).norm(dim=-1).median() < 0.1


def test_evidence_is_laplaces_integral_over_pose_and_conformation() -> None:
    """In steps: over z with the pose at its best, then over the pose, whatever z."""
    data = example(8, noise=1.0)
    generator = torch.Generator().manual_seed(2)
    change = data.volume * torch.rand(data.volume.shape, generator=generator)
    references = References.of_volumes(torch.stack([data.volume, change]), data.grid)
    images, ctf = 3 * data.images, 3 * data.ctf
    fit = refine_poses(
        *(MODEL, references, images, ctf, data.rotations, data.shifts),
        shift_sd_angstrom=SHIFT_SD,
        iterations=8,
    )
    n = images.shape[1]
    points = MODEL.slice_frequencies(fit.rotations.float(), slice(0, n))
    slices = references.sample(points, torch.ones(8, 2))[0][..., 1]
    weights = MODEL.support.weights[:n]
    information = ((ctf * slices).abs().square() * weights).sum(-1).double()
    expected = fit.score - 0.5 * information.log1p() + 0.5 * torch.logdet(fit.covariance)
    torch.testing.assert_close(fit.evidence, expected, rtol=1e-6, atol=1e-4)
    assert information.min() > 1  # or there would be nothing to see


def test_spread_is_what_errors_are() -> None:
    """Errors divided by the posterior's standard deviations have a variance of about 1."""
    data = example(300, noise=1.0)
    references = References.of_volumes(data.volume[None], data.grid)
    fit = refine_poses(
        MODEL,
        references,
        data.images,
        data.ctf,
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


def test_conformation_is_found_with_the_pose() -> None:
    """Frames of ``μ + z U`` without noise, started from z = 0 in a wrong pose."""
    data = example(30, shift_sd=2.0)
    other = example(30, shift_sd=2.0)
    change = 0.3 * data.volume.roll(3, 0)
    generator = torch.Generator().manual_seed(4)
    z = torch.randn(30, 1, generator=generator, dtype=torch.float64)
    grid = data.grid
    slices = slice_volume(
        MODEL, grid, grid.from_volumes(change[None]), data.rotations, len(MODEL.support)
    )
    images = other.images + z.float() * MODEL.observe(
        slices, data.ctf, MODEL.shift_phase(data.shifts)
    )
    references = References.of_volumes(torch.stack([data.volume, change]), grid)
    assert references.q == 1
    fit = refine_poses(
        MODEL,
        references,
        1e3 * images,
        1e3 * data.ctf,
        perturbed(data.rotations, 4.0),
        torch.zeros(30, 2),
        shift_sd_angstrom=SHIFT_SD,
        iterations=15,
    )
    angle = geodesic_degrees(fit.rotations, data.rotations)
    right = angle < 1
    assert right.float().mean() > 0.8
    assert (fit.latents - z)[right].abs().median() < 0.02
    assert fit.covariance.shape == (30, 5, 5)


def test_a_frame_that_rests_leaves_the_others_alone() -> None:
    """One frame begins where it ends, others 20° off: each ends where it ends by itself."""
    data = example(8, noise=0.3)
    references = References.of_volumes(data.volume[None], data.grid)

    def refined(frames: slice, rotations: torch.Tensor, iterations: int = 12) -> PoseFit:
        return refine_poses(
            MODEL,
            references,
            data.images[frames],
            data.ctf[frames],
            rotations,
            data.shifts[frames],
            shift_sd_angstrom=SHIFT_SD,
            iterations=iterations,
        )

    starts = perturbed(data.rotations, 20.0)
    starts[0] = refined(slice(0, 1), data.rotations[:1], 40).rotations
    given = starts.clone()
    together = refined(slice(None), starts)
    torch.testing.assert_close(starts, given, rtol=0, atol=0)
    for i in range(8):
        alone = refined(slice(i, i + 1), starts[i : i + 1])
        for ours, own in zip(vars(together).values(), vars(alone).values(), strict=True):
            torch.testing.assert_close(ours[i : i + 1], own, rtol=1e-4, atol=1e-5)
    more = refined(slice(None), starts, 40)  # no step is worth a hundredth of a nat any more
    assert (more.score - together.score).abs().max() < 0.05
