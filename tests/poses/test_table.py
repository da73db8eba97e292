"""Poses that are learned: rotations, their posterior and its divergence, and the table."""

from __future__ import annotations

import math

import pytest
import torch

from helpers.pose_examples import MODEL, PIXEL, example
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.padded_grid import full_grid
from temporem.physics.rotations import (
    geodesic_degrees,
    random_rotations,
    rotation_of_vector,
)
from temporem.poses.table import PosePosterior, PoseTable, uniform_rotation_kl


def draws(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def table(n: int, *, prior_sd: float = 4.0, lever: float = 20.0) -> PoseTable:
    rotations = random_rotations(n, torch.Generator().manual_seed(3))
    return PoseTable(rotations, torch.full((n,), 2.0), torch.full((n,), 0.5), prior_sd, lever)


# --- rotations ---


def test_rotation_of_a_vector_is_the_exponential_with_its_derivatives_at_zero() -> None:
    vectors = 2 * draws(50)[:, :3]
    cross = torch.zeros(50, 3, 3, dtype=torch.float64)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        cross[:, j, k], cross[:, k, j] = -vectors[:, i], vectors[:, i]
    torch.testing.assert_close(rotation_of_vector(vectors), torch.matrix_exp(cross))
    zero = torch.zeros(3, dtype=torch.float64)
    slope = torch.autograd.functional.jacobian(rotation_of_vector, zero)
    expected = torch.zeros(3, 3, 3, dtype=torch.float64)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        expected[j, k, i], expected[k, j, i] = -1, 1
    torch.testing.assert_close(slope, expected)


# --- the posterior ---


@pytest.mark.parametrize("spread", [(0.05, 0.05, 0.05), (0.1, 0.2, 0.3)])
def test_divergence_from_uniform_rotations_is_the_integral(
    spread: tuple[float, float, float],
) -> None:
    """``∫ q log (q / p) dω`` with p the uniform density by turns, ``(1 − cos θ) / (4π² θ²)``."""
    axes = [torch.linspace(-6 * s, 6 * s, 80, dtype=torch.float64) for s in spread]
    cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
    omega = torch.cartesian_prod(*axes)
    sd = torch.tensor(spread, dtype=torch.float64)
    log_q = (-0.5 * (omega / sd).square() - sd.log() - 0.5 * math.log(2 * math.pi)).sum(-1)
    angle = omega.norm(dim=-1)
    inside = angle < math.pi
    log_p = ((1 - angle.cos()) / (4 * math.pi**2 * angle.square())).log()
    integrand = log_q.exp() * (log_q - log_p)
    integral = float(integrand[inside].sum()) * cell
    assert float(uniform_rotation_kl(sd.log())) == pytest.approx(integral, abs=2e-4)


def test_divergence_of_a_pose_is_that_of_its_turn_and_of_its_shift() -> None:
    n = 4
    posterior = PosePosterior(
        torch.eye(3).repeat(n, 1, 1),
        torch.full((n, 3), -3.0),
        torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, -2.0], [3.0, 4.0]]),
        torch.full((n, 2), 0.5).log(),
        prior_sd_angstrom=2.0,
    )
    normal = torch.distributions.Normal
    shift = torch.distributions.kl_divergence(
        normal(posterior.shifts_angstrom, posterior.shift_log_sd.exp()), normal(0.0, 2.0)
    ).sum(-1)
    turn = float(uniform_rotation_kl(torch.full((3,), -3.0)))
    torch.testing.assert_close(posterior.kl(), turn + shift)
    assert shift[3] > shift[1] > shift[0]


def test_draws_have_the_mean_and_the_spread_of_the_posterior() -> None:
    n = 20000
    mean = random_rotations(1, torch.Generator().manual_seed(0)).float()
    posterior = PosePosterior(
        mean.expand(n, 3, 3),
        torch.tensor([0.02, 0.05, 0.1]).log().expand(n, 3),
        torch.tensor([[1.0, -2.0]]).expand(n, 2),
        torch.tensor([0.3, 0.6]).log().expand(n, 2),
        prior_sd_angstrom=3.0,
    )
    rotations, shifts = posterior.draw(FrameNoise(torch.Generator().manual_seed(1)))
    difference = rotations @ mean.mT
    # The antisymmetric part of a small turn is its vector, less a sixth of its cube.
    about = torch.stack(
        [difference[:, 2, 1], difference[:, 0, 2], difference[:, 1, 0]], dim=-1
    ) - torch.stack([difference[:, 1, 2], difference[:, 2, 0], difference[:, 0, 1]], dim=-1)
    turns = about / 2
    torch.testing.assert_close(turns.std(0), torch.tensor([0.02, 0.05, 0.1]), rtol=0.03, atol=0)
    assert (turns.mean(0).abs() < 4 * turns.std(0) / n**0.5).all()
    torch.testing.assert_close(shifts.std(0), torch.tensor([0.3, 0.6]), rtol=0.03, atol=0)
    torch.testing.assert_close(shifts.mean(0), torch.tensor([1.0, -2.0]), rtol=0, atol=0.02)
    fixed, centre = posterior.draw(None)
    assert fixed.equal(posterior.rotations)
    assert centre.equal(posterior.shifts_angstrom)
    turn_sd, shift_sd = posterior.spread()
    assert float(turn_sd[0]) == pytest.approx(math.degrees(math.sqrt(0.0129 / 3)), rel=1e-4)
    assert float(shift_sd[0]) == pytest.approx(math.sqrt(0.45 / 2), rel=1e-4)


# --- the table ---


def test_table_starts_where_it_is_told_to() -> None:
    poses = table(7)
    posterior = poses(torch.tensor([5, 2]))
    assert posterior.rotations.equal(poses.start[[5, 2]])
    assert (posterior.shifts_angstrom == 0).all()
    turn, shift = posterior.spread()
    torch.testing.assert_close(turn, torch.full((2,), 2.0))
    torch.testing.assert_close(shift, torch.full((2,), 0.5))
    assert posterior.prior_sd_angstrom == 4.0


def test_equal_steps_of_a_table_move_the_edge_of_a_molecule_alike() -> None:
    poses = table(1, lever=20.0)
    with torch.no_grad():
        poses.turns[0, 2] = poses.shifts[0, 0] = 0.01
    posterior = poses(torch.tensor([0]))
    edge = torch.tensor([0.0, 20.0, 0.0])
    turn = posterior.rotations[0].detach() @ poses.start[0].T
    assert float((turn @ edge - edge).norm()) == pytest.approx(0.2, rel=1e-3)
    assert float(posterior.shifts_angstrom.detach().norm()) == pytest.approx(0.2, rel=1e-3)


def test_likelihood_alone_leads_a_table_to_the_true_poses() -> None:
    """Noise-free images of a known volume, from 8° and 2 Å off: gradients have the right signs."""
    n = 40
    data = example(n, shift_sd=0.0)
    noise = torch.Generator().manual_seed(5)
    off = torch.deg2rad(torch.tensor(8.0)) / 3**0.5 * torch.randn(n, 3, generator=noise)
    started = rotation_of_vector(off.double()) @ data.rotations
    displaced = 2.0 * torch.randn(n, 2, generator=noise)
    images = MODEL.observe(data.images, torch.ones(1), MODEL.shift_phase(displaced))
    images = 5 * images / images.abs().std()
    scale = 5 / float((data.images).abs().std())
    poses = PoseTable(started, torch.full((n,), 1.0), torch.full((n,), 0.2), 4.0, 24.0)
    grid = full_grid(data.volume.shape[-1], torch.device("cpu"))
    rows, optimizer = torch.arange(n), torch.optim.Adam(poses.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        posterior = poses(rows)
        rotations, shifts = posterior.draw(FrameNoise(generator))
        points = MODEL.slice_frequencies(rotations)
        slices = grid.extract(data.rows, grid.corners(points)).view(n, -1) * scale
        observed = MODEL.observe(slices, data.ctf, MODEL.shift_phase(shifts))
        loss = posterior.kl() - MODEL.log_likelihood(observed, images, 1.0)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    posterior = poses(rows)
    before = geodesic_degrees(started.float(), data.rotations.float()).median()
    after = geodesic_degrees(posterior.rotations, data.rotations.float()).median()
    assert before > 5
    assert after < before / 4
    left = (posterior.shifts_angstrom - displaced).norm(dim=-1).median()
    assert left < displaced.norm(dim=-1).median() / 4
    assert left < PIXEL / 4
    assert (posterior.spread()[0] < 1.0).all()  # images without noise leave little open
