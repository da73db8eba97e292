"""Bonds and what is near them, springs, volumes and repulsion: gradients and rest positions."""

import numpy as np
import pytest

from temporem.structures.bonds import bonded_pairs, pairs_apart, residue_index
from temporem.structures.relaxation import (
    Repulsion,
    Springs,
    Volumes,
    _SpringEnergy,
    _TetherEnergy,
    _VolumeEnergy,
    distances,
    incidence,
    relax,
    signed_volumes,
)
from temporem.structures.toy import toy_molecule

PAIRS = np.array([[0, 1], [1, 2], [0, 3], [2, 3], [1, 3], [0, 2]])


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(4, 3))


def none_repel(n: int) -> Repulsion:
    return Repulsion(np.full(n, 1e-3), np.zeros((0, n, 3)), np.zeros((0, 2), dtype=int), 1.0)


def test_bonds_of_the_toy_are_those_it_was_built_with() -> None:
    toy = toy_molecule()
    helix = toy.select(toy.find("B/1-24"))
    positions = helix.positions_angstrom.numpy()
    bonds = bonded_pairs(helix, positions)
    residue = residue_index(helix)
    # A residue's atoms are a tree, and one bond leads to the next.
    assert len(bonds) == (len(helix) - 24) + 23
    names = np.char.add(helix.atom_names[bonds[:, 0]], helix.atom_names[bonds[:, 1]])
    assert (names[residue[bonds[:, 0]] != residue[bonds[:, 1]]] == "CN").all()
    # Where a bond is stretched in another conformation it is none.
    torn = positions + np.where(residue >= 12, 3.0, 0.0)[:, None]
    assert len(bonded_pairs(helix, positions, torn)) == len(bonds) - 1


def test_pairs_apart_are_by_the_shortest_way() -> None:
    ring = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [0, 4], [4, 5]])
    assert pairs_apart(ring, 6, 1).tolist() == sorted(ring.tolist())
    assert pairs_apart(ring, 6, 2).tolist() == [
        [0, 2],
        [0, 3],
        [0, 5],
        [1, 3],
        [1, 4],
        [2, 4],
        [3, 5],
    ]
    assert pairs_apart(ring, 6, 3).tolist() == [[1, 5], [2, 5]]


def test_differences_and_volumes(points: np.ndarray) -> None:
    difference = incidence(PAIRS, 4) @ points
    np.testing.assert_allclose(difference, points[PAIRS[:, 0]] - points[PAIRS[:, 1]])
    corner = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3.0]])
    assert signed_volumes(corner, np.array([[0, 1, 2, 3], [0, 2, 1, 3]])).tolist() == [6, -6]


def test_slopes_are_those_of_the_energies(points: np.ndarray) -> None:
    lengths = np.array([0.3, 1, 3, 4, 0.1, 2])
    springs = Springs(PAIRS, lengths, np.arange(1.0, 7))
    corners = np.array([[0, 1, 2, 3], [3, 1, 0, 2]])
    energies = [
        _SpringEnergy(springs, 4),
        _SpringEnergy(springs, 4, only_push=True),
        _VolumeEnergy(Volumes(corners, np.array([1.0, -2.0]), 3.0), 4),
        _TetherEnergy(points + 0.5, 2.0),
    ]
    step = np.random.default_rng(2).normal(size=(4, 3))
    for energy in energies:
        _, slope = energy(points)
        above, below = (energy(points + h * step)[0] for h in (1e-5, -1e-5))
        assert (above - below) / 2e-5 == pytest.approx((slope * step).sum(), rel=1e-6)


def test_springs_come_to_their_lengths_and_volumes_to_their_hand(points: np.ndarray) -> None:
    springs = Springs(PAIRS, np.full(6, 2.0), np.ones(6))
    corners = np.array([[0, 1, 2, 3]])
    volume = 2**3 / np.sqrt(2)  # of a tetrahedron, six times
    for hand in (1, -1):
        kept = Volumes(corners, np.array([hand * volume]), 1.0)
        rest = relax(points, springs, none_repel(4), volumes=kept, rounds=1, iterations=500)
        np.testing.assert_allclose(distances(rest, PAIRS), 2, atol=1e-3)
        assert signed_volumes(rest, corners)[0] == pytest.approx(hand * volume, rel=1e-3)


def test_repulsion_parts_what_is_near_unless_a_shape_or_a_bond_allows_it() -> None:
    positions = np.array([[0, 0, 0], [1.0, 0, 0], [10, 0, 0], [11, 0, 0], [20, 0, 0], [21, 0, 0]])
    shape = 10 * positions
    shape[3] = shape[2] + [1.5, 0, 0]
    repulsion = Repulsion(np.full(6, 1.5), shape[None], np.array([[4, 5]]), 1.0)
    nothing = Springs(np.zeros((0, 2), dtype=int), np.zeros(0), np.zeros(0))
    rest = relax(positions, nothing, repulsion, rounds=1, iterations=100)
    apart = distances(rest, np.array([[0, 1], [2, 3], [4, 5]]))
    np.testing.assert_allclose(apart, [3, 1.5, 1], atol=1e-3)
    tied = relax(positions, nothing, repulsion, tether=1e3, rounds=1, iterations=100)
    assert abs(tied - positions).max() < 0.01
