"""A skeleton: rigid motion keeps it unstrained, and its points follow."""

import pytest
import roma
import torch

from temporem.volumes.skeleton import Skeleton


@pytest.fixture
def points() -> torch.Tensor:
    return 5 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def skeleton(points: torch.Tensor) -> Skeleton:
    made = Skeleton(200, 20)
    made.set_points(points.numpy())
    return made


def test_points_follow_a_rigid_motion_without_strain(
    skeleton: Skeleton, points: torch.Tensor
) -> None:
    turn, shift = torch.tensor([0.5, -1.2, 0.3]), torch.tensor([1.0, 2.0, -3.0])
    rotation = roma.rotvec_to_rotmat(turn)
    moves = skeleton.nodes @ rotation.T + shift - skeleton.nodes
    turns = turn.expand(1, 20, 3)
    expected = points @ rotation.T + shift
    torch.testing.assert_close(skeleton.moved(points, turns, moves[None])[0], expected)
    assert skeleton.strain(turns, moves[None]) < 1e-10


def test_parts_that_part_are_strained(skeleton: Skeleton, points: torch.Tensor) -> None:
    shifts = torch.zeros(2, 20, 3)
    right = skeleton.nodes[:, 0] > 0
    shifts[1, right, 0] = 2.0
    still, parted = skeleton.strain(torch.zeros(2, 20, 3), shifts)
    assert still == 0
    assert parted > 0.001
    moved = skeleton.moved(points, torch.zeros(2, 20, 3), shifts)
    torch.testing.assert_close(moved[0], points)
    assert ((moved[1] - points)[:, 0] > -1e-5).all()


def test_nodes_lie_on_points_far_apart(skeleton: Skeleton, points: torch.Tensor) -> None:
    distance = (skeleton.nodes[:, None] - points).norm(dim=-1).amin(1)
    assert distance.max() < 1e-5
    between = torch.cdist(skeleton.nodes, skeleton.nodes) + 100 * torch.eye(20)
    assert between.min() > 1.0
    torch.testing.assert_close(skeleton.weights.sum(1), torch.ones(200))
