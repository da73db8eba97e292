"""What two half sets agree on: volumes, their change, and nothing that only a mask adds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from helpers.swing import BOX, PIXEL, blob
from temporem.validation.half_sets import compare_half_sets, path_groups

N = 24
ANGLES = np.deg2rad(np.linspace(-60, 60, N))


def swinging(angles: np.ndarray, noise: float, seed: int, arm: float = 1.0) -> Tensor:
    """A body with an arm at each angle, and noise of its own: ``(n, D, D, D)``."""
    generator = torch.Generator().manual_seed(seed)
    body = 2 * blob((-3, 0, 0))
    return torch.stack(
        [
            body
            + arm * blob((5 * np.cos(a), 5 * np.sin(a), 0))
            + noise * torch.randn(body.shape, generator=generator)
            for a in angles
        ]
    )


def test_the_same_motion_in_both_halves_is_found() -> None:
    first, second = (swinging(ANGLES, 0.02, seed) for seed in (1, 2))
    found = compare_half_sets(first, second, ANGLES, PIXEL)
    assert found.correlation["moving"] > 0.95
    assert found.change["moving"].corrected[1:5].min() > 0.9
    assert found.states["moving"].max() < 12
    assert found.n_frames.sum() == N


def test_changes_that_are_noise_do_not_agree_however_well_the_mean_does() -> None:
    body = swinging(np.zeros(1), 0, 0)
    own = [
        torch.randn(N, BOX, BOX, BOX, generator=torch.Generator().manual_seed(s)) for s in (3, 4)
    ]
    first, second = (body + 0.05 * noise for noise in own)
    found = compare_half_sets(first, second, ANGLES, PIXEL)
    assert abs(found.correlation["particle"]) < 0.1
    assert np.abs(found.change["particle"].corrected[2:]).max() < 0.3
    assert found.volumes["particle"].corrected[1:5].min() > 0.9


def test_the_opposite_motion_is_told_from_the_same() -> None:
    first, second = swinging(ANGLES, 0.02, 1), swinging(-ANGLES, 0.02, 2)
    found = compare_half_sets(first, second, ANGLES, PIXEL)
    assert found.correlation["moving"] < 0


def test_agreement_that_a_mask_alone_makes_is_taken_away() -> None:
    """Beyond the detail of smooth blobs there is noise; a mask correlates it between shells."""
    first, second = (swinging(ANGLES, 0.4, seed) for seed in (5, 6))
    curve = compare_half_sets(first, second, ANGLES, PIXEL).volumes["particle"]
    far = slice(BOX // 2 - 4, None)
    assert np.abs(curve.corrected[far]).mean() < 0.25
    assert np.isfinite(curve.corrected).all()


def test_volumes_that_do_not_change_have_no_moving_region() -> None:
    still = swinging(np.zeros(N), 0, 0)
    found = compare_half_sets(still, still, ANGLES, PIXEL)
    assert set(found.masks) == {"particle"}
    assert found.correlation["particle"] == 0
    assert found.volumes["particle"].never_crossed


def test_states_are_neighbours_on_the_path() -> None:
    position = np.random.default_rng(0).permutation(37).astype(float)
    groups = path_groups(position)
    assert sorted(np.concatenate(groups)) == list(range(37))
    ends = [(position[g].min(), position[g].max()) for g in groups]
    assert all(a[1] < b[0] for a, b in pairwise(ends))
    assert len(path_groups(np.zeros(3))) == 3
