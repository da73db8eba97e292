"""Chains on a grid of rotations: frames of a movie tell where their neighbours are."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from temporem.physics.orientations import even_rotations
from temporem.physics.rotations import geodesic_degrees, random_rotations, rotation_of_vector
from temporem.poses.grid_chain import TURNS, GridChain

SPACING = 20.0
GRID = even_rotations(SPACING)
WIDE, NARROW = 40.0, 12.0  # standard deviations of what an image alone tells, degrees


def walk(movies: int, frames: int, turn_degrees: float, generator: torch.Generator) -> Tensor:
    """Molecules that turn by so much about each axis from frame to frame: ``(N, 3, 3)``."""
    now, path = random_rotations(movies, generator), []
    for _ in range(frames):
        path.append(now)
        vectors = torch.randn(movies, 3, generator=generator, dtype=torch.float64)
        now = rotation_of_vector(math.radians(turn_degrees) * vectors) @ now
    return torch.stack(path, 1).flatten(0, 1)


def told(rotations: Tensor, sd_degrees: float, generator: torch.Generator) -> Tensor:
    """Log-likelihoods of noisy frames on the grid, ``(N, M)``, wrong by their own spread."""
    n = len(rotations)
    noise = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    seen = rotation_of_vector(math.radians(sd_degrees) * noise) @ rotations
    apart = geodesic_degrees(seen[:, None], GRID)
    return (-0.5 * (apart / sd_degrees).square()).float()


def chain(movies: int, frames: int, turn: int = 0) -> GridChain:
    rows = np.arange(movies * frames).reshape(movies, frames)
    found = GridChain.of_movies(list(rows), np.full(rows.size, 0.1))
    assert found is not None
    return GridChain(found.lengths, found.interval, turn)


def error(probability: Tensor, rotations: Tensor) -> float:
    return float(geodesic_degrees(GRID[probability.argmax(1)], rotations).median())


def test_neighbours_tell_what_a_frame_does_not() -> None:
    generator = torch.Generator().manual_seed(1)
    rotations = walk(20, 10, 5, generator)
    likelihood = told(rotations, WIDE, generator)
    posterior, evidence = chain(20, 10).smoothed(likelihood, SPACING)
    assert error(posterior, rotations) < 0.6 * error(likelihood, rotations)
    torch.testing.assert_close(posterior.sum(1), torch.ones(200))
    unlinked = float((likelihood.logsumexp(1) - math.log(len(GRID))).sum())
    assert evidence > unlinked + 20 * 5  # nats for every movie


def test_links_of_independent_poses_have_less_evidence() -> None:
    generator = torch.Generator().manual_seed(2)
    likelihood = told(random_rotations(200, generator), NARROW, generator)
    evidence = chain(20, 10).smoothed(likelihood, SPACING)[1]
    assert evidence < float((likelihood.logsumexp(1) - math.log(len(GRID))).sum())


@pytest.mark.parametrize(("turn", "degrees"), [(0, 2.0), (2, 11.0), (4, 25.0)])
def test_evidence_tells_how_far_molecules_turn(turn: int, degrees: float) -> None:
    generator = torch.Generator().manual_seed(3)
    likelihood = told(walk(60, 10, degrees, generator), NARROW, generator)
    evidence = [chain(60, 10, k).smoothed(likelihood, SPACING)[1] for k in range(len(TURNS))]
    assert abs(int(np.argmax(evidence)) - turn) <= 1
    wider = chain(60, 10, 1).wider()
    assert wider.turn == 2
    assert chain(60, 10, len(TURNS) - 1).wider().turn == len(TURNS) - 1


def test_the_direction_of_time_makes_no_difference() -> None:
    generator = torch.Generator().manual_seed(4)
    likelihood = told(walk(3, 6, 8, generator), WIDE, generator)
    posterior, evidence = chain(3, 6).smoothed(likelihood, SPACING)
    back = likelihood.view(3, 6, -1).flip(1).flatten(0, 1)
    reverse, again = chain(3, 6).smoothed(back, SPACING)
    assert again == pytest.approx(evidence, rel=1e-4)
    torch.testing.assert_close(
        reverse.view(3, 6, -1).flip(1).flatten(0, 1), posterior, rtol=1e-3, atol=1e-6
    )


def test_movies_of_any_length_are_by_themselves() -> None:
    generator = torch.Generator().manual_seed(5)
    lengths = (3, 1, 5)
    likelihood = told(random_rotations(9, generator), WIDE, generator)
    movies = [np.arange(3), np.arange(3, 4), np.arange(4, 9)]
    whole = GridChain.of_movies(movies, np.full(9, 0.5))
    assert whole is not None
    posterior, evidence = whole.smoothed(likelihood, SPACING)
    parts, total, first = [], 0.0, 0
    for part in whole.blocks(3):
        found = part.smoothed(likelihood[first : first + len(part)], SPACING)
        parts.append(found[0])
        total, first = total + found[1], first + len(part)
    assert [len(part) for part in whole.blocks(3)] == [3, 1, 5]
    assert [part.lengths for part in whole.blocks(4)] == [lengths[:2], lengths[2:]]
    torch.testing.assert_close(torch.cat(parts), posterior)
    assert total == pytest.approx(evidence, rel=1e-5)
    torch.testing.assert_close(posterior[3], likelihood[3].softmax(0))


def test_a_long_gap_ends_a_link() -> None:
    generator = torch.Generator().manual_seed(6)
    likelihood = told(random_rotations(2, generator), WIDE, generator)
    gap = GridChain((2,), torch.tensor([1.0, 1e4]))
    torch.testing.assert_close(
        gap.smoothed(likelihood, SPACING)[0], likelihood.softmax(1), rtol=1e-3, atol=1e-7
    )
    near = GridChain((2,), torch.ones(2)).smoothed(likelihood, SPACING)[0]
    assert (near - likelihood.softmax(1)).abs().sum() > 0.1


def test_coefficients_are_in_degrees_and_time() -> None:
    steps = np.array([np.nan, 0.1, 0.1, np.nan, 0.2])
    movies = [np.array([0, 1, 2]), np.array([3, 4])]
    found = GridChain.of_movies(movies, steps, 0.5 * TURNS[2] ** 2 / 0.1)
    assert found is not None
    assert found.turn == 2
    assert found.coefficient(steps) == pytest.approx(0.5 * TURNS[2] ** 2 / 0.1)
    assert float(found.interval[4]) == pytest.approx(2)
    assert GridChain.of_movies([np.array([0]), np.array([1])], steps) is None
