"""Poses in two descriptions of a molecule: what images leave open is taken out, nothing else."""

import pytest
import torch

from temporem.physics.rigid_transform import other_hand
from temporem.physics.rotations import geodesic_degrees, random_rotations, rotation_about_axis
from temporem.poses.alignment import align_rotations, robust_mean_rotation

GENERATOR = torch.Generator().manual_seed(3)
TURN = random_rotations(1, GENERATOR)[0]


def test_robust_mean_is_where_most_rotations_are() -> None:
    near = rotation_about_axis(
        torch.randn(30, 3, generator=GENERATOR, dtype=torch.float64),
        torch.full((30,), 0.05, dtype=torch.float64),
    )
    mean = robust_mean_rotation(torch.cat([near @ TURN, random_rotations(25, GENERATOR)]))
    assert geodesic_degrees(mean, TURN) < 2


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_common_turn_and_the_hand_are_taken_out_and_errors_stay(mirrored: bool) -> None:
    true = random_rotations(60, GENERATOR)
    off = true.clone()
    off[::4] = random_rotations(15, GENERATOR)
    described = off @ TURN
    if mirrored:
        described = other_hand(described)
    aligned = align_rotations(described, true)
    assert geodesic_degrees(aligned, off).max() < 0.01
    assert geodesic_degrees(aligned[1::4], true[1::4]).max() < 0.01
