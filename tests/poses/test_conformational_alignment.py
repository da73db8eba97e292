"""Conformations turned back onto one another: most of the molecule ends where it began."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.blobs import simulate_blobs
from temporem.frames.frames import prepare_frames
from temporem.frames.settings import DataSettings
from temporem.physics.fourier import FourierSupport
from temporem.physics.rigid_transform import RigidTransform
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector
from temporem.physics.structure_factors import FormFactor, structure_factors
from temporem.poses.alignment import align_rotations
from temporem.poses.conformational_alignment import (
    align_conformations,
    classes_of,
    conformational_alignment,
)
from temporem.poses.estimates import ImprovedPoses, PoseEstimates
from temporem.poses.folds import FoldedFrames

BOX, VOXEL, K = 20, 6.0, 5


def atoms_of_states(seed: int = 0) -> Tensor:
    """A body of 40 atoms that stays, an arm of 8 that swings through 80°: ``(K, 48, 3)`` Å."""
    generator = torch.Generator().manual_seed(seed)
    body = torch.tensor([16.0, 11.0, 8.0]) * torch.randn(40, 3, generator=generator)
    arm = torch.stack([torch.linspace(15, 36, 8), torch.zeros(8), torch.zeros(8)], dim=1)
    angle = torch.deg2rad(torch.linspace(-40, 40, K, dtype=torch.float64))
    swing = rotation_of_vector(angle[:, None] * torch.tensor([0.0, 0.0, 1.0]).double())
    arms = arm.double() @ swing.mT
    return torch.cat([body.double().expand(K, -1, -1), arms], dim=1)


def volumes_of(atoms: Tensor) -> Tensor:
    """Volumes ``(K, D, D, D)`` of atoms as wide as a voxel, at unit standard deviation."""
    support = FourierSupport(BOX, 3)
    factor = [FormFactor(torch.tensor([300.0]), torch.tensor([1500.0]))]
    element = torch.zeros(atoms.shape[1], dtype=torch.long)
    volumes = support.ifft(structure_factors(atoms, element, factor, support, VOXEL))
    return volumes / volumes.std()


def turned(atoms: Tensor, seed: int = 1) -> tuple[Tensor, list[RigidTransform]]:
    """Every state in a frame of its own, some 8° and 4 Å from the others, and these frames."""
    generator = torch.Generator().manual_seed(seed)
    vectors = 0.08 * torch.randn(K, 3, generator=generator, dtype=torch.float64)
    offsets = 2.0 * torch.randn(K, 3, generator=generator, dtype=torch.float64)
    frames = [
        RigidTransform(r, mirrored=False, shift_angstrom=t)
        for r, t in zip(rotation_of_vector(vectors), offsets, strict=True)
    ]
    # A point r of the common frame is at G r + t in the state's own.
    moved = [a @ f.rotation.mT + f.shift_angstrom for a, f in zip(atoms, frames, strict=True)]
    return torch.stack(moved), frames


def apart(found: list[RigidTransform], true: list[RigidTransform]) -> tuple[float, float]:
    """How far frames are from being common: degrees and Å, rms over pairs of states."""
    angles, distances = [], []
    for k in range(K):
        for j in range(k):
            # What takes state j's own frame into k's, once by the truth and once as found.
            pairs = [(f[k].rotation @ f[j].rotation.mT) for f in (found, true)]
            moves = [
                f[k].shift_angstrom - pair @ f[j].shift_angstrom
                for f, pair in zip((found, true), pairs, strict=True)
            ]
            angles.append(float(geodesic_degrees(*pairs)))
            distances.append(float((moves[0] - moves[1]).norm()))
    return float(np.sqrt(np.mean(np.square(angles)))), float(np.sqrt(np.mean(np.square(distances))))


def unchanged() -> list[RigidTransform]:
    same = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    return [RigidTransform(same[0], mirrored=False, shift_angstrom=same[1])] * K


def test_the_body_comes_to_rest_and_the_arm_is_left_to_move() -> None:
    atoms, frames = turned(atoms_of_states())
    degrees, angstrom = apart(unchanged(), frames)
    assert degrees > 7
    assert angstrom > 3
    degrees, angstrom = apart(conformational_alignment(volumes_of(atoms), VOXEL), frames)
    assert degrees < 1
    assert angstrom < 0.4


def test_what_is_in_one_frame_stays_there() -> None:
    changes = conformational_alignment(volumes_of(atoms_of_states()), VOXEL)
    degrees, angstrom = apart(changes, unchanged())
    assert degrees < 1
    assert angstrom < 0.4


def test_noise_does_not_turn_volumes() -> None:
    """It would if interpolation took it away: volumes would agree better for being turned at all.

    With two voxels to a voxel in the place of four it is 4.7°, with one 10°.
    """
    generator = torch.Generator().manual_seed(3)
    support = FourierSupport(BOX, 3)
    volumes = volumes_of(atoms_of_states())
    white = support.fft(torch.randn(volumes.shape, generator=generator))
    noise = support.ifft(white * (support.radii < BOX / 2))
    changes = conformational_alignment(volumes + 0.5 * noise / noise.std(), VOXEL)
    assert apart(changes, unchanged())[0] < 3.2


def test_turns_of_all_together_are_none() -> None:
    atoms, _ = turned(atoms_of_states())
    changes = conformational_alignment(volumes_of(atoms), VOXEL)
    assert torch.stack([c.shift_angstrom for c in changes]).mean(0).norm() < 1e-4
    assert all(torch.det(c.rotation).item() == pytest.approx(1) for c in changes)


def test_classes_follow_latents_whatever_their_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    state = torch.arange(400) % 4
    values = torch.stack([1e2 * (state % 2), 1e-3 * (state // 2)], dim=1)
    values *= 1 + 0.02 * torch.randn(400, 2, generator=generator)
    found = classes_of(values, np.arange(200), 4, seed=0)
    assert [len(np.unique(found[state.numpy() == s])) for s in range(4)] == [1] * 4
    assert len(np.unique(found)) == 4
    constant = torch.stack([values[:, 1], torch.ones(400)], dim=1)
    assert len(np.unique(classes_of(constant, np.arange(400), 2, seed=0))) == 2


def test_a_turn_that_goes_with_the_conformation_is_undone() -> None:
    """Frames of held-out movies are turned with the others, but have no say."""
    blobs = simulate_blobs([10] * 70, snr=3.0)
    data, true = blobs.dataset, blobs.dataset.poses
    n_held_out = 5
    training, unseen = data.movies[:-n_held_out], data.movies[-n_held_out:]
    frames = prepare_frames(data, DataSettings(), training, torch.device("cpu"), posed=False)
    folded = FoldedFrames.deal(frames, shift_sd_angstrom=2.0, window_radius=0.9)
    power = frames.statistics.spectral_prior.mean

    def aligned(left: PoseEstimates, rows: np.ndarray) -> tuple[ImprovedPoses, list[float]]:
        improved = ImprovedPoses(left, left)
        return align_conformations(folded, improved, latents, rows, power=power, radius=8.0, seed=0)

    state = (blobs.angles - blobs.angles.mean()) / blobs.angles.std()
    # As a search leaves it: the body follows the arm, by some 15° either way.
    axis = torch.tensor([0.3, -0.4, 0.866], dtype=torch.float64)
    turn = rotation_of_vector(torch.deg2rad(10 * state)[:, None] * axis)
    right = PoseEstimates.at(true.rotations)
    left = replace(right, rotations=true.rotations @ turn)
    noise = 0.1 * torch.randn(len(state), generator=torch.Generator().manual_seed(0)).double()
    latents = (state + noise)[:, None]

    def error(found: PoseEstimates, rows: np.ndarray) -> float:
        turned = align_rotations(found.rotations[rows], true.rotations[rows])
        return float(geodesic_degrees(turned, true.rotations[rows]).median())

    rows, seen, held_out = map(np.concatenate, (data.movies, training, unseen))
    assert error(left, rows) > 7
    improved, degrees = aligned(left, seen)
    assert error(improved.estimates, rows) < 3
    assert error(improved.estimates, held_out) < 4
    assert improved.alone.rotations.equal(improved.estimates.rotations)
    assert len(degrees) == 6
    assert max(degrees) > 8
    # Nothing is turned where nothing is to be undone.
    same, _ = aligned(right, seen)
    assert error(same.estimates, rows) < 2.5
    # Too few frames for two classes say nothing.
    unchanged, degrees = aligned(left, seen[:50])
    assert unchanged.estimates is left
    assert degrees == []
