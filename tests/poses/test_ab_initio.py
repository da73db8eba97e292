"""Volumes from images alone: iterations maximise the expectation, and find the molecule."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from helpers.pose_examples import MODEL, example
from temporem.physics.fourier import resized
from temporem.physics.orientations import even_rotations
from temporem.physics.padded_grid import full_grid, grid_below
from temporem.physics.rigid_transform import other_hand
from temporem.physics.rotations import (
    geodesic_degrees,
    random_rotations,
    rotation_about_axis,
    rotation_of_vector,
)
from temporem.poses.ab_initio import (
    ALIKE_DEGREES,
    AbInitio,
    Expected,
    Round,
    Start,
    frames_alike,
)
from temporem.poses.alignment import align_rotations
from temporem.poses.grid_chain import GridChain
from temporem.poses.scores import shift_grid, slice_volume
from temporem.poses.symmetry import Symmetry

POWER = torch.full((MODEL.box // 2,), 100.0)
SHIFT_SD = 5.0
NONE = Symmetry(1, False, (0.0, 0.0, 1.0), 0.4)
GENERATOR = torch.Generator().manual_seed(2)


def search(data) -> AbInitio:
    n = int((MODEL.support.radii < 8).sum())
    return AbInitio(MODEL, data.images[:, :n], data.ctf[:, :n], POWER, SHIFT_SD, 0.9)


def test_evidence_is_the_mean_over_the_grid_of_poses() -> None:
    data = example(4, noise=1.0)
    step = Round(6, 45)
    evidence = search(data).iterate(data.volume, step, seed=3).log_evidence
    turn = random_rotations(1, torch.Generator().manual_seed(3))
    rotations = (even_rotations(45) @ turn).float()
    shifts, prior = shift_grid(MODEL, SHIFT_SD, 6)
    n = int((MODEL.support.radii < 6).sum())
    grid = grid_below(MODEL.box, 6)
    slices = slice_volume(
        MODEL, grid, grid.from_volumes(resized(data.volume[None], grid.box)), rotations, n
    )
    total = 0.0
    for image, ctf in zip(data.images[:, :n], data.ctf[:, :n], strict=True):
        empty = MODEL.log_likelihood(torch.zeros_like(image), image, 1.0)
        scores = [
            MODEL.log_likelihood(MODEL.observe(slices, ctf, phase[:n]), image, 1.0) - empty + p
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


def test_likeliest_rotations_of_the_grid_are_near_the_true_ones() -> None:
    data = example(40, noise=0.3)
    found = search(data).iterate(data.volume, Round(6, 20), seed=3).rotations
    apart = geodesic_degrees(found.double(), data.rotations)
    assert apart.median() < 15
    assert (apart < ALIKE_DEGREES).double().mean() > 0.8


def starts(problem: AbInitio, rounds: int) -> list[list[Expected]]:
    """So many rounds at 4 cycles per box of two random starts, and two at 6."""
    paths = []
    for seed in (0, 1):
        volume, path = problem.first_volume(4, seed), []
        for i, step in enumerate([Round(4, 20)] * rounds + [Round(6, 13)] * 2):
            path.append(problem.iterate(volume, step, 100 * seed + i))
            volume = path[-1].volume
        paths.append(path)
    return paths


def alike_in(paths: list[list[Expected]]) -> float:
    found = torch.stack([path[-1].rotations for path in paths])
    return frames_alike(found, 0, found[0].double(), NONE)


@pytest.mark.integration
def test_a_likely_molecule_is_found_from_chance_and_found_again() -> None:
    """One of two starts reaches nine tenths of the evidence of the true volume."""
    data = example(200, noise=0.7, shift_sd=2.0)
    problem = search(data)
    paths = starts(problem, 14)
    assert all(path[-3].log_evidence > path[0].log_evidence for path in paths)
    truth = problem.iterate(data.volume, Round(4, 20), 5).log_evidence
    assert max(path[-3].log_evidence for path in paths) > 0.9 * truth
    assert problem.first_volume(4, 0).equal(problem.first_volume(4, 0))
    assert alike_in(paths) > 0.8


ROUNDS = (*[Round(5, 24, 0.5)] * 10, *[Round(6, 20, 0.5)] * 8)


def turning(turn_degrees: float | None) -> Tensor:
    """Poses in 30 movies of 8 frames; independent ones when None."""
    generator = torch.Generator().manual_seed(8)
    first = random_rotations(30, generator)
    if turn_degrees is None:
        return random_rotations(240, generator)
    vectors = torch.randn(30, 8, 3, generator=generator, dtype=torch.float64).cumsum(1)
    return (rotation_of_vector(math.radians(turn_degrees) * vectors) @ first[:, None]).flatten(0, 1)


def ascent(rotations: Tensor, chain: GridChain | None) -> Start:
    data = example(240, noise=2.5, shift_sd=2.0, rotations=rotations)
    done: list[float] = []
    start = search(data).ascend(
        ROUNDS, 1, lambda part, _: done.append(part), chain=chain, try_chain=chain is not None
    )
    assert done == sorted(done)
    assert done[-1] == 1
    return start


def within_20(start: Start, rotations: Tensor) -> float:
    found = align_rotations(start.expected.rotations.double(), rotations)
    return float((geodesic_degrees(found, rotations) < 20).double().mean())


@pytest.mark.integration
def test_frames_that_follow_one_another_are_posed_together() -> None:
    rotations = turning(4)
    chain = GridChain((8,) * 30, torch.ones(240))
    alone, linked = ascent(rotations, None), ascent(rotations, chain)
    assert linked.chain is not None
    assert linked.expected.log_evidence > linked.expected.unlinked
    assert within_20(linked, rotations) > within_20(alone, rotations) + 0.2


@pytest.mark.integration
def test_frames_that_do_not_follow_one_another_are_left_alone() -> None:
    rotations = turning(None)
    tried = ascent(rotations, GridChain((8,) * 30, torch.ones(240)))
    assert tried.chain is None
    assert tried.expected.volume.equal(ascent(rotations, None).expected.volume)


@pytest.mark.integration
def test_poses_of_noise_are_not_found_again() -> None:
    """Though volumes and evidences rise as if there were something."""
    data = example(200, noise=0.7)
    generator = torch.Generator().manual_seed(4)  # whatever tests ran before
    noise = torch.randn(data.images.shape, dtype=data.images.dtype, generator=generator)
    paths = starts(search(replace(data, images=noise * 2**0.5)), 8)
    assert all(path[-3].log_evidence > path[0].log_evidence for path in paths)
    assert alike_in(paths) < 0.1


def described(rotations: torch.Tensor, mirrored: bool) -> torch.Tensor:
    """As another start has them: turned as a whole, perhaps mirrored, 5° off."""
    n = len(rotations)
    axes = torch.randn(n, 3, generator=GENERATOR, dtype=torch.float64)
    off = rotation_about_axis(axes, torch.full((n,), math.radians(5), dtype=torch.float64))
    turned = off @ rotations @ random_rotations(1, GENERATOR)
    return other_hand(turned) if mirrored else turned


def test_frames_alike_are_those_of_the_start_that_agrees_most() -> None:
    found = random_rotations(100, GENERATOR)
    some, none = described(found, True), random_rotations(100, GENERATOR)
    some[:40] = random_rotations(40, GENERATOR)
    chosen = described(found, False)
    assert frames_alike(torch.stack([none, chosen]), 1, found, NONE) < 0.1
    three = torch.stack([none, chosen, some]).float()
    assert frames_alike(three, 1, found, NONE) == pytest.approx(0.6, abs=0.03)
    four = torch.stack([described(found, True), some, chosen, none])
    assert frames_alike(four, 2, found, NONE) == 1


@pytest.mark.parametrize("dihedral", [False, True])
def test_turns_that_images_cannot_tell_count_as_alike(dihedral: bool) -> None:
    found = random_rotations(200, GENERATOR)
    axis, across = random_rotations(1, GENERATOR)[0][:, :2].T
    thirds = 2 * math.pi / 3 * torch.randint(3, (200,), generator=GENERATOR)
    turns = rotation_about_axis(axis.expand(200, 3), thirds.double())
    if dihedral:
        halves = math.pi * torch.randint(2, (200,), generator=GENERATOR)
        turns = rotation_about_axis(across.expand(200, 3), halves.double()) @ turns
    both = torch.stack([described(found, False), described(found @ turns, True)])
    threefold = Symmetry(3, dihedral, tuple(axis.tolist()), 0.95)
    assert frames_alike(both, 0, found, threefold) == 1
    assert frames_alike(both, 0, found, NONE) < 0.5
    both[1] = random_rotations(200, GENERATOR)
    assert frames_alike(both, 0, found, threefold) < 0.3
