"""Where two clouds agree on a motion, and where they do not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.validation.displacement import Determination, compare_motions

BOX, PIXEL, FRAMES = 32, 2.0, 20
ANGLES = np.deg2rad(np.linspace(-30, 30, FRAMES))


def cloud(n: int, seed: int, swing: float) -> Tensor:
    """A still ball at the left, and a ball at the right that swings: ``(frames, n, 3)``."""
    generator = torch.Generator().manual_seed(seed)
    points = 2.5 * torch.randn(n, 3, generator=generator)
    arm = torch.arange(n) % 2 == 0
    points[:, 0] += torch.where(arm, 10.0, -8.0)
    frames = []
    for angle in swing * ANGLES:
        c, s = np.cos(angle), np.sin(angle)
        turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float32)
        frames.append(torch.where(arm[:, None], points @ turn.T, points))
    return torch.stack(frames)


def compared(first: Tensor, second: Tensor) -> Determination:
    return compare_motions(first, second, torch.ones(first.shape[1]), BOX, PIXEL)


def test_the_same_motion_of_different_gaussians_is_determined() -> None:
    found = compared(cloud(400, 1, 1.0), cloud(300, 2, 1.0))
    assert all(region.determined for region in found.regions)
    assert found.undetermined_share < 0.05
    fastest, slowest = found.regions[0], found.regions[-1]
    expected = PIXEL * 10 * np.sqrt(np.mean(np.sin(ANGLES) ** 2))
    assert fastest.centre_angstrom[0] > 0
    assert fastest.moved_angstrom > 0.7 * expected
    assert slowest.moved_angstrom < 1.5
    assert fastest.disagreement_angstrom < fastest.moved_angstrom / 2


def test_an_arm_that_each_half_moves_otherwise_is_flagged_and_the_rest_is_not() -> None:
    found = compared(cloud(400, 1, 1.0), cloud(300, 2, -1.0))
    flagged = [region for region in found.regions if not region.determined]
    assert flagged
    assert all(region.centre_angstrom[0] > 0 for region in flagged)
    assert 0.3 < found.undetermined_share < 0.7
    arm = found.disagreement[:, :, BOX // 2 + 10].max()
    body = found.disagreement[:, :, BOX // 2 - 8].max()
    assert arm > 4 * body
    assert found.disagreement[0].max() == 0


def test_standing_still_in_both_halves_is_determined() -> None:
    found = compared(cloud(200, 1, 0.0), cloud(200, 2, 0.0))
    assert found.undetermined_share == 0
    assert found.moved.max() < 1e-4
