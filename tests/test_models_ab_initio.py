"""Volumes from images alone: iterations maximise the expectation, and find the molecule."""

import math

import pytest
import torch

from pose_examples import MODEL, example
from temporem.models.ab_initio import AbInitio, Round
from temporem.models.padded_grid import full_grid, grid_below
from temporem.models.pose_search import shift_grid, slice_volume
from temporem.physics.orientations import even_rotations
from temporem.physics.rotations import random_rotations
from temporem.physics.support import resized

POWER = torch.full((MODEL.box // 2,), 100.0)
SHIFT_SD = 5.0


def search(data) -> AbInitio:
    n = int((MODEL.support.radii < 8).sum())
    return AbInitio(MODEL, data.images[:, :n], data.contrast[:, :n], POWER, SHIFT_SD, 0.9)


def test_evidence_is_the_mean_over_the_grid_of_poses() -> None:
    data = example(4, noise=1.0)
    step = Round(6, 45)
    _, evidence = search(data).iterate(data.volume, step, seed=3)
    turn = random_rotations(1, torch.Generator().manual_seed(3))
    rotations = (even_rotations(45) @ turn).float()
    shifts, prior = shift_grid(MODEL, SHIFT_SD, 6)
    n = int((MODEL.support.radii < 6).sum())
    grid = grid_below(MODEL.box, 6)
    slices = slice_volume(
        MODEL, grid, grid.from_volumes(resized(data.volume[None], grid.box)), rotations, n
    )
    total = 0.0
    for image, contrast in zip(data.images[:, :n], data.contrast[:, :n], strict=True):
        empty = MODEL.log_likelihood(torch.zeros_like(image), image, 1.0)
        scores = [
            MODEL.log_likelihood(MODEL.observe(slices, contrast, phase[:n]), image, 1.0) - empty + p
            for phase, p in zip(MODEL.shift_phase(shifts), prior, strict=True)
        ]
        total += float(torch.stack(scores).flatten().logsumexp(0)) - math.log(len(rotations))
    assert evidence == pytest.approx(total / 4, rel=1e-4)


def test_volumes_of_another_size_have_the_same_slices() -> None:
    data = example(5)
    n = int((MODEL.support.radii < 5).sum())
    whole = slice_volume(MODEL, data.grid, data.rows, data.rotations, n)
    small = resized(data.volume[None], 14)
    grid = grid_below(MODEL.box, 5)
    assert grid.box == 14
    assert grid_below(MODEL.box, 11) == full_grid(MODEL.box, torch.device("cpu"))
    coarse = slice_volume(MODEL, grid, grid.from_volumes(small), data.rotations, n)
    torch.testing.assert_close(coarse, whole, atol=0.05 * float(whole.abs().max()), rtol=0)
    back = resized(resized(small, 24), 14)
    torch.testing.assert_close(back, small, atol=1e-5 * float(small.abs().max()), rtol=1e-4)


def test_a_likely_molecule_is_found_from_chance() -> None:
    """One of two starts reaches nine tenths of the evidence of the true volume."""
    data = example(200, noise=0.7, shift_sd=2.0)
    problem = search(data)
    best = -math.inf
    for seed in (0, 1):
        volume = problem.first_volume(4, seed)
        path = []
        for i in range(14):
            volume, evidence = problem.iterate(volume, Round(4, 20), 100 * seed + i)
            path.append(evidence)
        assert path[-1] > path[0]
        best = max(best, path[-1])
        again = problem.first_volume(4, seed)
        assert again.equal(problem.first_volume(4, seed))
    truth = problem.iterate(data.volume, Round(4, 20), 5)[1]
    assert best > 0.9 * truth
