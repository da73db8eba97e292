"""Poses by search: likelihoods as the forward model has them, known poses found exactly."""

import math

import torch

from helpers.pose_examples import BOX, MODEL, PIXEL, example
from temporem.physics.orientations import disc_lattice, even_rotations, small_turns
from temporem.physics.rotations import geodesic_degrees
from temporem.poses.scores import (
    MovingSlices,
    Slices,
    best_poses,
    grid_scores,
    local_scores,
    moving_scores,
    shift_grid,
    shifted_images,
    slice_volume,
)


def test_scores_are_the_likelihoods_of_the_forward_model() -> None:
    data = example(3, noise=1.0)
    n = 60
    rotations, shifts = even_rotations(60).float(), disc_lattice(6, 4)
    slices = slice_volume(MODEL, data.grid, data.rows, rotations, n)
    phases = MODEL.shift_phase(shifts)[:, :n]
    images, ctf = data.images[:, :n], data.ctf[:, :n]
    weights = MODEL.support.weights[:n]
    shifted = shifted_images(images, ctf, phases)
    scores = grid_scores(shifted, ctf.square(), Slices.of(slices, weights))
    assert scores.shape == (3, len(shifts), len(rotations))
    observed = MODEL.observe(
        slices, ctf[:, None, None], phases[:, None]
    )  # (B, T, M, P), one by one
    expected = MODEL.log_likelihood(observed, images[:, None, None], 1.0)
    empty = MODEL.log_likelihood(torch.zeros_like(images), images, 1.0)
    torch.testing.assert_close(
        scores, expected - empty[:, None, None], rtol=1e-4, atol=1e-3 * float(scores.abs().max())
    )
    # The same in orientations of every frame's own.
    own = rotations.expand(3, -1, 3, 3)
    local = local_scores(MODEL, data.grid, data.rows, shifted, ctf.square(), own)
    torch.testing.assert_close(local, scores, rtol=1e-4, atol=1e-4 * float(scores.abs().max()))


def test_known_poses_are_found_exactly_without_noise() -> None:
    """Every frame in one of the poses of the grid: all of them are found, and none beside."""
    data = example(40, shift_sd=0.0)
    n = int((MODEL.support.radii < 8).sum())
    shifts = disc_lattice(8, 4)
    phases = MODEL.shift_phase(shifts)[:, :n]
    turned = torch.cat([data.rotations, even_rotations(40)])
    slices = slice_volume(MODEL, data.grid, data.rows, turned, n)
    right = torch.arange(40)
    moved = right % len(shifts)
    ctf = data.ctf[:, :n]
    images = data.images[:, :n] * phases[moved]
    scores = grid_scores(
        shifted_images(images, ctf, phases),
        ctf.square(),
        Slices.of(slices, MODEL.support.weights[:n]),
    )
    best = best_poses(scores, 3)
    assert best.rotation[:, 0].equal(right)
    assert best.shift[:, 0].equal(moved)
    assert (best.score.diff(dim=1) <= 0).all()


def test_subdivision_halves_the_distance() -> None:
    data = example(30, shift_sd=0.0)
    n = int((MODEL.support.radii < 8).sum())
    found = small_turns(8, 1)[0] @ data.rotations
    before = geodesic_degrees(found, data.rotations)
    shifted = shifted_images(
        data.images[:, :n], data.ctf[:, :n], MODEL.shift_phase(torch.zeros(1, 2))[:, :n]
    )
    for spacing in (8.0, 4.0, 2.0):
        near = small_turns(spacing, 1) @ found[:, None]
        squares = data.ctf[:, :n].square()
        scores = local_scores(MODEL, data.grid, data.rows, shifted, squares, near.float())
        found = near[torch.arange(30), best_poses(scores, 1).rotation[:, 0]]
    after = geodesic_degrees(found, data.rotations)
    assert before.min() > 13
    assert after.median() < 2
    assert after.max() < 8


def test_shifts_have_a_gaussian_prior() -> None:
    shifts, prior = shift_grid(MODEL, 5.0, 8.0)
    spacing = BOX * PIXEL / (torch.pi * 8)
    assert shifts.norm(dim=-1).max() <= 10
    assert shifts[1].norm() == torch.tensor(spacing, dtype=torch.float64)
    assert torch.isclose(prior.exp().sum(), torch.tensor(1.0))
    expected = -0.5 * (spacing / 5) ** 2
    torch.testing.assert_close(float(prior[1] - prior[0]), expected, rtol=1e-5, atol=1e-6)


def test_scores_with_motion_integrate_over_the_latent() -> None:
    """Against numerical quadrature over z of the likelihood of ``μ + z U``."""
    data = example(3, noise=1.0)
    n = 60
    rotations, shifts = even_rotations(70).float(), disc_lattice(6, 6)
    change = 0.1 * data.volume.flip(0)
    mean = slice_volume(MODEL, data.grid, data.rows, rotations, n)
    moving = slice_volume(MODEL, data.grid, data.grid.from_volumes(change[None]), rotations, n)
    images, ctf = data.images[:, :n], data.ctf[:, :n]
    weights = MODEL.support.weights[:n]
    shifted = shifted_images(images, ctf, MODEL.shift_phase(shifts)[:, :n])
    squares = ctf.square()
    scores = moving_scores(shifted, squares, MovingSlices.of(mean, moving, weights))
    z = torch.linspace(-12, 12, 481)
    along = torch.stack(
        [
            grid_scores(shifted, squares, Slices.of(mean + value * moving, weights))
            - 0.5 * value**2
            for value in z
        ]
    ).double()
    step = float(z[1] - z[0])
    expected = along.logsumexp(0) + math.log(step / math.sqrt(2 * math.pi))
    torch.testing.assert_close(scores.double(), expected, rtol=1e-3, atol=0.02)
