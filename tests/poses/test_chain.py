"""Poses along movies, against brute force: all paths enumerated, all Gaussians written out."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from helpers.pose_examples import MODEL, example
from temporem.frames.source import FramesInMemory
from temporem.physics.rotational_diffusion import log_diffusion_density
from temporem.physics.rotations import (
    geodesic_degrees,
    random_rotations,
    rotation_of_vector,
    vector_of_rotation,
)
from temporem.poses.chain import JUMP, PoseChain
from temporem.poses.estimates import PoseEstimates
from temporem.poses.folds import FOLDS, FoldedFrames
from temporem.poses.improvement import improve_poses

MOVIES = [np.array([4, 1, 0, 6]), np.array([2, 5]), np.array([3]), np.array([7, 9, 8])]
N, K = 10, 3
GENERATOR = torch.Generator().manual_seed(0)
TAU = 0.05 + 0.2 * torch.rand(N, generator=GENERATOR, dtype=torch.float64)
CHAIN = PoseChain(MOVIES, TAU)


def test_best_paths_are_those_of_all_paths() -> None:
    rotations = random_rotations(N * K, GENERATOR).view(N, K, 3, 3)
    variance = 0.1 * torch.rand(N, K, generator=GENERATOR, dtype=torch.float64)
    weight = 3 * torch.randn(N, K, generator=GENERATOR, dtype=torch.float64)
    found = CHAIN.best_paths(rotations, variance, weight)
    for movie in MOVIES:
        best = torch.full((len(movie), K), -torch.inf, dtype=torch.float64)
        for path in product(range(K), repeat=len(movie)):
            value = sum(weight[row, k] for row, k in zip(movie, path, strict=True))
            for t in range(1, len(movie)):
                before, row = (movie[t - 1], path[t - 1]), (movie[t], path[t])
                angle = torch.deg2rad(geodesic_degrees(rotations[before], rotations[row]))
                tau = TAU[movie[t]] + (variance[before] + variance[row]) / 2
                density = log_diffusion_density(angle, tau).exp()
                value = value + ((1 - JUMP) * density + JUMP).log()
            for t, k in enumerate(path):
                best[t, k] = torch.maximum(best[t, k], value)
        torch.testing.assert_close(found[movie], best)


def test_neighbours_decide_between_poses_that_a_frame_cannot_tell_apart() -> None:
    """A frame with two equal candidates takes the one on the way from its past to its future."""
    rows, still = np.arange(5), random_rotations(1, GENERATOR)[0]
    rotations = random_rotations(10, GENERATOR).view(5, 2, 3, 3)
    right = torch.tensor([0, 1, 1, 0, 1])
    rotations[rows, right] = still
    weight = torch.zeros(5, 2, dtype=torch.float64)
    chain = PoseChain([rows], torch.full((5,), 0.01, dtype=torch.float64))
    found = chain.best_paths(rotations, torch.full((5, 2), 1e-3).double(), weight)
    assert found.argmax(1).equal(right)


def test_prior_is_that_of_the_joint_gaussian_without_the_frame_itself() -> None:
    """For small turns: the precision matrix of all rotation vectors, inverted as a whole."""
    scale = 1e-3
    vectors = scale * torch.randn(N, 3, generator=GENERATOR, dtype=torch.float64)
    root = torch.randn(N, 3, 3, generator=GENERATOR, dtype=torch.float64)
    covariance = scale**2 * (root @ root.mT + torch.eye(3))
    chain = PoseChain(MOVIES, scale**2 * TAU)
    base = random_rotations(1, GENERATOR)[0]
    prior = chain.from_neighbours(rotation_of_vector(vectors) @ base, covariance)
    for movie in MOVIES:
        n = len(movie)
        walk = torch.zeros(3 * n, 3 * n, dtype=torch.float64)
        for t in range(1, n):
            link = torch.eye(3) / (2 * chain.tau[movie[t]])
            a, b = slice(3 * t - 3, 3 * t), slice(3 * t, 3 * t + 3)
            walk[a, a] += link
            walk[b, b] += link
            walk[a, b] -= link
            walk[b, a] -= link
        for t, row in enumerate(movie):
            precision, pull = walk.clone(), torch.zeros(3 * n, dtype=torch.float64)
            for s, other in enumerate(movie):
                if s != t:
                    here = slice(3 * s, 3 * s + 3)
                    own = torch.linalg.inv(covariance[other])
                    precision[here, here] += own
                    pull[here] = own @ vectors[other]
            if n == 1:
                assert prior.precision[row].abs().max() == 0
                continue
            joint = torch.linalg.inv(precision)
            here = slice(3 * t, 3 * t + 3)
            torch.testing.assert_close(
                torch.linalg.inv(prior.precision[row]), joint[here, here], rtol=1e-4, atol=0
            )
            mean = vector_of_rotation(prior.mean[row] @ base.mT)
            torch.testing.assert_close(mean, (joint @ pull)[here], rtol=0, atol=0.02 * scale)


def test_errors_beyond_the_posterior_make_neighbours_count_for_more() -> None:
    """κ with variances s² is what variances κ s² are, for the likelihood narrow by κ."""
    rotations = rotation_of_vector(0.05 * torch.randn(N, 3, generator=GENERATOR).double())
    covariance = 1e-3 * torch.eye(3, dtype=torch.float64).repeat(N, 1, 1)
    wide = CHAIN.from_neighbours(rotations, 4 * covariance)
    told = dataclasses.replace(CHAIN, inflation=4.0).from_neighbours(rotations, covariance)
    torch.testing.assert_close(told.mean, wide.mean)
    torch.testing.assert_close(told.precision, 4 * wide.precision)


def test_a_jump_ends_what_neighbours_say() -> None:
    turns = random_rotations(2, GENERATOR)
    rotations = turns[[0, 0, 0, 1, 1, 1]]
    chain = PoseChain([np.arange(6)], torch.full((6,), 1e-3, dtype=torch.float64))
    covariance = 1e-3 * torch.eye(3, dtype=torch.float64).repeat(6, 1, 1)
    prior = chain.from_neighbours(rotations, covariance)
    torch.testing.assert_close(prior.mean, rotations)
    information = prior.precision.diagonal(dim1=-2, dim2=-1)[:, 0]
    torch.testing.assert_close(information, information.flip(0))
    assert information[1] > information[2] > 0  # it has a neighbour on one side only


def test_neighbours_are_those_of_the_movie() -> None:
    before, after = CHAIN.neighbours()
    assert before.tolist() == [1, 4, 2, 3, 4, 2, 0, 7, 9, 7]
    assert after.tolist() == [6, 0, 5, 3, 1, 5, 6, 9, 8, 8]


@pytest.mark.parametrize(
    ("scope", "noise", "iterations"), [("everywhere", 3.5, 2), ("around", 5.0, 1)]
)
@pytest.mark.integration
def test_slow_turning_makes_poses_better_where_images_are_noisy(
    scope: str, noise: float, iterations: int
) -> None:
    """Against the true volume, so that nothing but the chain makes the difference."""
    movies = [np.arange(8 * m, 8 * m + 8) for m in range(10)]
    n, step = 80, math.radians(5)
    generator = torch.Generator().manual_seed(2)
    w = step * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    rotations = random_rotations(n, generator)
    for rows in movies:
        for before, row in pairwise(rows):
            rotations[row] = rotation_of_vector(w[row]) @ rotations[before]
    data = example(n, noise=noise, shift_sd=3.0, rotations=rotations)
    fold = np.arange(n) // 8 % FOLDS
    frames = FoldedFrames(MODEL, FramesInMemory(data.images, data.ctf), fold, 5.0, 0.9)
    off = 0.2 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    near = rotation_of_vector(off) @ rotations
    start = PoseEstimates.at(near if scope == "around" else torch.eye(3).repeat(n, 1, 1))
    chain = PoseChain(movies, torch.full((n,), step**2 / 2, dtype=torch.float64))

    def errors(chain: PoseChain | None) -> tuple[torch.Tensor, torch.Tensor]:
        found = start
        for _ in range(iterations):
            improved = improve_poses(
                frames, data.volume[None], found, 12, scope=scope, around_degrees=15, chain=chain
            )
            found = improved.estimates
        spread = found.covariance.diagonal(dim1=-2, dim2=-1)[:, :3].sum(-1).sqrt()
        return geodesic_degrees(found.rotations, rotations), torch.rad2deg(spread)

    alone, _ = errors(None)
    together, spread = errors(chain)
    assert together.median() < 0.7 * alone.median()
    assert (together < 20).float().mean() > (alone < 20).float().mean() + 0.1
    assert 0.4 < together.median() / spread.median() < 2  # the spread knows of the neighbours
