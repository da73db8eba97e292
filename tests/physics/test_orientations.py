"""Grids of orientations and shifts: as dense as they say, everywhere alike."""

import math

import pytest
import torch

from temporem.physics.orientations import disc_lattice, even_rotations, small_turns
from temporem.physics.rotations import geodesic_degrees, random_rotations


@pytest.mark.parametrize("spacing", [30.0, 15.0])
def test_every_rotation_has_one_of_the_grid_nearby(spacing: float) -> None:
    grid = even_rotations(spacing)
    assert len(grid) == math.ceil(8 * math.pi**2 / math.radians(spacing) ** 3)
    assert (grid @ grid.mT - torch.eye(3)).abs().max() < 1e-12
    assert (torch.linalg.det(grid) - 1).abs().max() < 1e-12
    wanted = random_rotations(300, torch.Generator().manual_seed(0))
    nearest = geodesic_degrees(wanted[:, None], grid).min(1).values
    assert nearest.max() < 1.1 * spacing
    assert nearest.mean() < 0.6 * spacing


def test_grid_is_even() -> None:
    """As for uniform rotations, ``E R = 0`` and ``E R_ij R_kl = δ_ik δ_jl / 3``."""
    grid = even_rotations(15).flatten(1)
    assert grid.mean(0).abs().max() < 2e-3
    second = grid.T @ grid / len(grid)
    assert (second - torch.eye(9, dtype=torch.float64) / 3).abs().max() < 2e-3


def test_lattice_around_a_rotation_subdivides_a_grid() -> None:
    """None in a cube of width 20° is farther from a lattice of 10° than half its diagonal."""
    turns = small_turns(10, 1)
    assert turns.shape == (27, 3, 3)
    assert geodesic_degrees(turns, torch.eye(3).double()).max() < 10 * math.sqrt(3) + 0.1
    inside = small_turns(1.0, 10)
    distance = geodesic_degrees(inside[:, None], turns).min(1).values
    assert distance.max() < 5 * math.sqrt(3) + 0.5


def test_shifts_fill_a_disc_from_its_centre() -> None:
    points = disc_lattice(2.0, 1.0)
    assert points[0].tolist() == [0, 0]
    assert len(points) == 13
    assert points.norm(dim=-1).max() == 2
    assert disc_lattice(0.9, 1.0).tolist() == [[0, 0]]
