"""Steps of a search by themselves: what a motion has left in poses is undone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from helpers.blobs import simulate_blobs
from temporem.frames.frames import prepare_frames
from temporem.frames.intervals import frame_steps
from temporem.frames.settings import DataSettings
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector
from temporem.poses.ab_initio import ROUNDS
from temporem.poses.alignment import align_rotations
from temporem.poses.estimates import ImprovedPoses, PoseEstimates
from temporem.poses.search_steps import SearchSteps
from temporem.poses.settings import PoseSettings

HELD_OUT = 5  # movies


def test_a_turn_that_goes_with_the_conformation_is_undone() -> None:
    """Frames of held-out movies are turned with the others, but have no say."""
    blobs = simulate_blobs([10] * 70, snr=3.0)
    data, true = blobs.dataset, blobs.dataset.poses
    frames = prepare_frames(
        data, DataSettings(), data.movies[:-HELD_OUT], torch.device("cpu"), posed=False
    )
    search = SearchSteps(
        frames=frames,
        given=true,
        settings=PoseSettings(source="refine"),
        steps=frame_steps(data),
        temporal=True,
        motion=True,
        iterations=1,
        motion_iterations=1,
        components=1,
        rounds=ROUNDS,
        window_radius=0.9,
        seed=0,
    )
    state = (blobs.angles - blobs.angles.mean()) / blobs.angles.std()
    # As a search leaves it: the body follows the arm, by some 15° either way.
    axis = torch.tensor([0.3, -0.4, 0.866], dtype=torch.float64)
    turn = rotation_of_vector(torch.deg2rad(10 * state)[:, None] * axis)
    right = PoseEstimates.at(true.rotations)
    left = replace(right, rotations=true.rotations @ turn)
    noise = 0.1 * torch.randn(len(state), generator=torch.Generator().manual_seed(0)).double()
    latents = (state + noise)[:, None]

    def error(found: PoseEstimates, rows: np.ndarray) -> float:
        aligned = align_rotations(found.rotations[rows], true.rotations[rows])
        return float(geodesic_degrees(aligned, true.rotations[rows]).median())

    rows, held_out = (np.concatenate(movies) for movies in (data.movies, data.movies[-HELD_OUT:]))
    assert error(left, rows) > 7
    improved, degrees = search.align_conformations(ImprovedPoses(left, left), latents, 8.0)
    assert error(improved.estimates, rows) < 3
    assert error(improved.estimates, held_out) < 4
    assert improved.alone.rotations.equal(improved.estimates.rotations)
    assert len(degrees) == 6
    assert max(degrees) > 8
    # Nothing is turned where nothing is to be undone.
    same, _ = search.align_conformations(ImprovedPoses(right, right), latents, 8.0)
    assert error(same.estimates, rows) < 2.5
    # Too few frames for two classes say nothing.
    few = replace(search, frames=replace(frames, training=data.movies[:5]))
    unchanged, degrees = few.align_conformations(ImprovedPoses(left, left), latents, 8.0)
    assert unchanged.estimates is left
    assert degrees == []
