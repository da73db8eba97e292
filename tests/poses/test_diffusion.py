"""The diffusion coefficient: recovered within its error, and no use where there is none."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from temporem.physics.rotations import random_rotations, rotation_of_vector
from temporem.poses.diffusion import DiffusionFit, fit_diffusion

MOVIES, LENGTH = 40, 10
N = MOVIES * LENGTH
ROWS = [np.arange(LENGTH) + LENGTH * m for m in range(MOVIES)]


def walks(
    coefficient: float, spread: float = 0.0, wrong: float = 0.0, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Poses, the variance of their errors, and times between frames, one in ten of them double."""
    generator = torch.Generator().manual_seed(seed)
    steps = np.where(np.arange(N) % 10 == 5, 0.2, 0.1)
    w = torch.randn(N, 3, generator=generator, dtype=torch.float64)
    w = w * torch.from_numpy(2 * coefficient * steps).sqrt()[:, None]
    rotations = random_rotations(N, generator)
    for rows in ROWS:
        for before, row in itertools.pairwise(rows):
            rotations[row] = rotation_of_vector(w[row]) @ rotations[before]
    errors = spread * torch.randn(N, 3, generator=generator, dtype=torch.float64)
    rotations = rotation_of_vector(errors) @ rotations
    lost = torch.rand(N, generator=generator) < wrong
    rotations[lost] = random_rotations(int(lost.sum()), generator)
    return rotations, torch.full((N,), spread**2, dtype=torch.float64), steps


def fit(*arguments: float, seed: int = 0) -> DiffusionFit:
    rotations, variance, steps = walks(*arguments, seed=seed)
    found = fit_diffusion(rotations, variance, ROWS, steps)
    assert found is not None
    return found


@pytest.mark.integration
@pytest.mark.parametrize("coefficient", [0.02, 0.5])
def test_coefficient_is_recovered_within_its_error(coefficient: float) -> None:
    off = []
    for seed in range(4):
        found = fit(coefficient, seed=seed)
        assert found.useful
        assert found.jumps < 0.02
        off.append(math.log(found.coefficient / coefficient) / found.relative_error)
        # Three Gaussian components a pair: the error of log D is √(2 / 3n).
        # A jackknife of eight folds knows it by a quarter.
        assert found.relative_error == pytest.approx((2 / (3 * (N - MOVIES))) ** 0.5, rel=0.7)
    assert np.abs(off).max() < 3.5
    assert np.sqrt(np.square(off).mean()) < 1.8


def test_errors_of_poses_are_not_taken_for_diffusion() -> None:
    spread = math.radians(6)
    found = fit(0.02, spread)  # 3.6° a frame, hidden under errors of 6°
    assert math.log(found.coefficient / 0.02) == pytest.approx(0, abs=3.5 * found.relative_error)
    assert found.inflation == pytest.approx(1, rel=0.3)
    # Posteriors that are too narrow: what does not grow with time is no diffusion.
    rotations, variance, steps = walks(0.02, spread)
    narrow = fit_diffusion(rotations, variance / 9, ROWS, steps)
    assert narrow.coefficient == pytest.approx(found.coefficient, rel=0.1)
    assert narrow.inflation == pytest.approx(9 * found.inflation, rel=0.1)


def test_wrong_poses_do_not_change_it() -> None:
    found = fit(0.02, 0.0, 0.4)
    assert math.log(found.coefficient / 0.02) == pytest.approx(0, abs=4 * found.relative_error)
    assert found.jumps == pytest.approx(1 - 0.6**2, abs=0.08)
    assert found.useful


@pytest.mark.parametrize("seed", range(3))
def test_independent_poses_give_no_use(seed: int) -> None:
    found = fit(0.02, 0.0, 1.0, seed=seed)  # every pose is drawn anew
    assert not found.useful
    assert abs(found.gain) < 0.02


def test_a_single_movie_is_no_evidence_and_single_frames_are_none() -> None:
    rotations, variance, steps = walks(0.02)
    assert not fit_diffusion(rotations, variance, ROWS[:1], steps).useful
    assert fit_diffusion(rotations, variance, [np.array([0]), np.array([3])], steps) is None
