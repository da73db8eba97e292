"""Coupling of conformation and pose: known where errors are made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from temporem.evaluation.metrics.pose_conformation_coupling import (
    PoseConformationCoupling,
    pose_conformation_coupling,
    predicted_r2,
)
from temporem.evaluation.poses import pose_agreement
from temporem.physics.poses import Poses
from temporem.physics.rotations import random_rotations, rotation_of_vector, vector_of_rotation
from temporem.report.pose_plot import pose_error_figure

MOVIES, LENGTH = 60, 10
N = MOVIES * LENGTH
MOVIE = np.repeat(np.arange(MOVIES), LENGTH)
STATE = np.tile(np.arange(LENGTH), MOVIES)
GENERATOR = torch.Generator().manual_seed(0)
TRUE = random_rotations(N, GENERATOR)
Z = torch.linspace(-1, 1, LENGTH, dtype=torch.float64).repeat(MOVIES)
Z = Z + 0.05 * torch.randn(N, generator=GENERATOR, dtype=torch.float64)
NOISE = torch.randn(N, 3, generator=GENERATOR, dtype=torch.float64)
SHIFTS = torch.zeros(N, 2, dtype=torch.float64)


def turned(degrees: torch.Tensor) -> torch.Tensor:
    """Poses of molecules that are turned too far, by vectors ``(N, 3)`` in their own frame."""
    return TRUE @ rotation_of_vector(torch.deg2rad(degrees))


def coupling(
    rotations: torch.Tensor, latents: torch.Tensor = Z[:, None]
) -> PoseConformationCoupling:
    return pose_conformation_coupling(rotations, TRUE, MOVIE, latents.numpy(), STATE)


def test_error_that_is_a_function_of_the_latent_is_told_whatever_the_view() -> None:
    swing = torch.stack([10 * Z, 4 * Z**2, torch.zeros(N).double()], dim=1)
    found = coupling(turned(swing))
    assert found.error_r2 > 0.99
    assert abs(found.pose_r2) < 0.05
    assert abs(found.view_r2) < 0.05
    assert found.n_close == N
    assert found.state.tolist() == list(range(LENGTH))
    means = np.stack([swing[state == STATE].mean(0).numpy() for state in found.state])
    np.testing.assert_allclose(found.state_turn, means, atol=0.1)
    np.testing.assert_allclose(found.state_systematic, np.linalg.norm(means, axis=1), atol=0.15)
    assert (found.state_low <= found.state_median).all()
    assert (found.state_median <= found.state_high).all()
    assert found.systematic_degrees > 10 * found.chance_degrees


def test_independent_errors_are_not_told() -> None:
    found = coupling(turned(4 * NOISE))
    assert -0.1 < found.error_r2 < 0.03
    assert -0.1 < found.pose_r2 < 0.03
    # The mean of 60 errors of 4° about each axis is 4 √(3 / 60)° long.
    assert found.chance_degrees == pytest.approx(4 * (3 / MOVIES) ** 0.5, rel=0.1)
    assert 0.6 < found.systematic_degrees / found.chance_degrees < 1.4


def test_half_of_the_variance_is_half_of_r2() -> None:
    systematic = 5 * (Z / Z.std())[:, None] * torch.tensor([1.0, 0, 0]).double()
    random = 5 * NOISE * torch.tensor([0.0, 1, 0]).double()
    assert coupling(turned(systematic + random)).error_r2 == pytest.approx(0.5, abs=0.06)


def test_latents_that_follow_the_view_are_caught() -> None:
    """A view and its opposite have mirrored images: only what is even in v need be told."""
    from_above = TRUE[:, 2, 2, None].square()
    found = coupling(turned(2 * NOISE), from_above)
    assert found.view_r2 > 0.1
    assert abs(found.pose_r2) < 0.05
    entry = coupling(turned(2 * NOISE), TRUE[:, 0, 1, None])
    assert entry.pose_r2 > 0.08  # one entry of nine


def test_poses_that_were_not_found_have_no_say_in_turns() -> None:
    wrong = turned(torch.tensor([3.0, 0, 0]).double().expand(N, 3))
    lost = torch.rand(N, generator=GENERATOR) < 0.25
    wrong[lost] = random_rotations(int(lost.sum()), GENERATOR)
    found = coupling(wrong)
    assert 0.7 * N < found.n_close < 0.8 * N
    assert (found.state_n_frames == MOVIES).all()
    assert found.state_n_close.sum() == found.n_close
    np.testing.assert_allclose(found.state_systematic, 3, atol=1)
    assert found.state_median.max() == pytest.approx(3, abs=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_frame_and_hand_of_the_reconstruction_do_not_matter(mirrored: bool) -> None:
    swing = torch.stack([10 * Z, torch.zeros(N).double(), 3 * Z], dim=1)
    here = coupling(turned(swing - swing.mean(0)))
    frame = random_rotations(1, GENERATOR)[0]
    about_beam = torch.diag(torch.tensor([-1.0, -1, 1], dtype=torch.float64))
    there = (about_beam if mirrored else torch.eye(3).double()) @ turned(swing) @ frame.mT
    _, change = pose_agreement(Poses(there, SHIFTS), Poses(TRUE, SHIFTS))
    assert change.mirrored == mirrored
    found = coupling(change.rotations(there))
    assert found.error_r2 == pytest.approx(here.error_r2, abs=0.01)
    np.testing.assert_allclose(found.state_turn, here.state_turn, atol=1.0)


def test_without_latents_or_movies_or_states_there_is_less_to_say() -> None:
    rotations = turned(NOISE)
    no_latents = pose_conformation_coupling(rotations, TRUE, MOVIE, None, STATE)
    assert np.isnan(no_latents.error_r2)
    assert len(no_latents.state) == LENGTH
    one_movie = pose_conformation_coupling(
        rotations, TRUE, np.zeros(N, int), Z[:, None].numpy(), None
    )
    assert np.isnan(one_movie.pose_r2)
    assert len(one_movie.state) == 0
    assert np.isnan(one_movie.systematic_degrees)
    all_alone = pose_conformation_coupling(rotations, TRUE, MOVIE, Z[:, None].numpy(), np.arange(N))
    assert all_alone.state_turn.shape == (0, 3)


def test_latents_that_do_not_vary_tell_nothing() -> None:
    assert predicted_r2(np.ones((N, 2)), MOVIE, NOISE.numpy()) == 0


def test_rotation_vectors_come_back() -> None:
    vectors = 0.9 * NOISE / NOISE.norm(dim=-1, keepdim=True).clamp(min=1)
    back = vector_of_rotation(rotation_of_vector(vectors))
    torch.testing.assert_close(back, vectors, atol=1e-12, rtol=0)


def test_figure_has_medians_and_turns_of_every_run() -> None:
    runs = {
        "a": coupling(turned(3 * NOISE)),
        "b": coupling(turned(10 * Z[:, None] * torch.eye(3)[0])),
    }
    ax = pose_error_figure(runs).axes[0]
    assert len(ax.lines) == 6
    for item, lines in zip(runs.values(), (ax.lines[:3], ax.lines[3:]), strict=True):
        np.testing.assert_allclose(lines[0].get_ydata(), item.state_median)
        np.testing.assert_allclose(lines[1].get_ydata(), item.state_systematic)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(runs["a"].state_high.max())
    assert "°" in ax.get_ylabel()
