"""Poses of all frames in turn with volumes: folds are apart, and poses become better."""

import dataclasses

import numpy as np
import pytest
import torch

from helpers.pose_examples import MODEL, example
from temporem.frames.source import FramesInMemory
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector
from temporem.poses.estimates import PoseEstimates
from temporem.poses.folds import FOLDS, FoldedFrames
from temporem.poses.improvement import improve_poses

N = 120


@pytest.fixture(scope="module")
def data():
    return example(N, noise=0.7, shift_sd=3.0)


@pytest.fixture(scope="module")
def frames(data) -> FoldedFrames:
    fold = np.arange(N) // 5 % FOLDS
    fold[-10:] = FOLDS  # no volume is made of these
    return FoldedFrames(MODEL, FramesInMemory(data.images, data.ctf), fold, 5.0, 0.9)


def true_poses(data) -> PoseEstimates:
    return dataclasses.replace(PoseEstimates.at(data.rotations), shifts_angstrom=data.shifts)


def test_a_fold_has_no_part_in_its_own_volume(data, frames) -> None:
    poses = true_poses(data)
    before = frames.back_project(poses, 8).volumes
    images = data.images.clone()
    images[frames.fold == 1] *= -1
    images[frames.fold == FOLDS] = 0
    source = FramesInMemory(images, data.ctf)
    after = dataclasses.replace(frames, source=source).back_project(poses, 8).volumes
    alike = [
        float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])
        for a, b in zip(before, after, strict=True)
    ]
    assert alike[1] > 0.95  # the same but for the filter, which is that of all
    assert max(alike[:1] + alike[2:]) < 0.92


def test_volumes_of_true_poses_agree_with_the_truth(data, frames) -> None:
    folds = frames.back_project(true_poses(data), 8)
    assert folds.half_fsc[:5].min() > 0.7
    whole = frames.back_project(true_poses(data), 12).volumes[-1]
    both = torch.stack([whole.flatten(), data.volume.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.9


@pytest.mark.parametrize("scope", ["everywhere", "around", "here"])
@pytest.mark.integration
def test_poses_become_better(data, frames, scope: str) -> None:
    volumes = data.volume[None]
    generator = torch.Generator().manual_seed(2)
    off = 0.12 * torch.randn(N, 3, generator=generator, dtype=torch.float64)
    start = PoseEstimates.at(rotation_of_vector(off) @ data.rotations)
    done = []
    found = improve_poses(
        frames, volumes, start, 12, scope=scope, around_degrees=15, on_frames=done.append
    ).estimates
    before = geodesic_degrees(start.rotations, data.rotations)
    after = geodesic_degrees(found.rotations, data.rotations)
    assert after.median() < 0.5 * before.median()
    assert after.median() < 4
    assert (found.shifts_angstrom - data.shifts).norm(dim=-1).median() < 1.5
    assert sum(done) == N
    if scope != "here":
        assert (after < 10).float().mean() > 0.9
    # The score is never below that of the pose before.
    here = improve_poses(frames, volumes, found, 12, scope="here").estimates
    assert (here.score >= found.score - 1e-3 * found.score.abs()).all()


@pytest.mark.integration
def test_search_needs_no_pose_to_start_from(data, frames) -> None:
    nothing = PoseEstimates.at(torch.eye(3).repeat(N, 1, 1))
    found = improve_poses(frames, data.volume[None], nothing, 12, scope="everywhere").estimates
    angle = geodesic_degrees(found.rotations, data.rotations)
    assert angle.median() < 4
    assert (angle < 10).float().mean() > 0.9
    spread = torch.rad2deg(found.covariance.diagonal(dim1=-2, dim2=-1)[:, :3].sum(-1).sqrt())
    assert 0.3 < angle.median() / spread.median() < 2
