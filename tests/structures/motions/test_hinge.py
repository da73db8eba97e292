"""Hinges turn rigidly by the stated angle."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.atoms import line_of_atoms
from temporem.errors import TemporemError
from temporem.structures.molecule import Molecule
from temporem.structures.motions.base import conformations
from temporem.structures.motions.hinge import Hinge, hinge_about_atoms


@pytest.fixture
def hinge() -> Hinge:
    """Residues 2-4 turn about the line from the origin along +z."""
    return hinge_about_atoms(line_of_atoms(), ["A/2-4"], ("A/1/CA", "A/5/CA"))


def test_quarter_turn_about_z_takes_x_to_y(hinge: Hinge) -> None:
    moved = hinge.positions(torch.tensor([90.0]))
    expected = torch.tensor([[0, 1, 0], [0, 2, 0], [0, 3, 0]], dtype=torch.float64)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


def test_other_direction_of_the_axis_turns_the_other_way() -> None:
    reverse = hinge_about_atoms(line_of_atoms(), ["A/2-4"], ("A/5/CA", "A/1/CA"))
    assert reverse.positions(torch.tensor([90.0]))[0].tolist() == pytest.approx([0, -1, 0])


@given(st.floats(-720, 720))
def test_turn_is_rigid_and_by_the_stated_angle(degrees: float) -> None:
    generator = torch.Generator().manual_seed(0)
    molecule = line_of_atoms()
    positions = torch.randn(6, 3, generator=generator, dtype=torch.float64) * 20
    molecule = Molecule(**{**vars(molecule), "positions_angstrom": positions})
    hinge = hinge_about_atoms(molecule, ["A/2-4"], ("A/1/CA", "B/1/CA"))
    before, after = (hinge.positions(torch.tensor([a])) for a in (0.0, degrees))
    torch.testing.assert_close(before, positions[1:4], rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.pdist(after), torch.pdist(before), rtol=1e-10, atol=1e-10)
    # Distances to the axis's atoms stay, and the angle seen along the axis is the one asked for.
    torch.testing.assert_close(
        torch.cdist(after, positions[[0, 5]]), torch.cdist(before, positions[[0, 5]])
    )
    axis = hinge.axis_direction
    flat = [
        p - hinge.axis_point - ((p - hinge.axis_point) @ axis)[:, None] * axis
        for p in (before, after)
    ]
    sine = torch.linalg.cross(*flat) @ axis
    cosine = (flat[0] * flat[1]).sum(-1)
    turned = torch.atan2(sine, cosine) - math.radians(degrees)
    assert turned.sin().abs().max() < 1e-6
    assert turned.cos().min() > 0


def test_conformations_move_only_the_moving_atoms(hinge: Hinge) -> None:
    angles = torch.tensor([[[0.0], [30.0]], [[60.0], [90.0]]])
    atoms = conformations(hinge, angles)
    assert atoms.shape == (2, 2, 6, 3)
    original = hinge.molecule.positions_angstrom
    assert atoms[..., ~hinge.moving, :].equal(original[~hinge.moving].expand(2, 2, -1, -1))
    assert atoms[1, 0][hinge.moving].equal(hinge.positions(angles[1, 0]))
    assert (atoms[1, 1] - original)[hinge.moving].norm(dim=-1).min() > 1


@pytest.mark.parametrize(
    ("moving", "axis", "message"),
    [
        (["A/2-4"], ("A/1-2/CA", "A/5/CA"), "matches 2 atoms"),
        (["A/2-4"], ("A/1/CA", "A/1/CA"), "the same point"),
        (["Z/1"], ("A/1/CA", "A/5/CA"), "no atom of line matches 'Z/1'"),
        (["A/2-4"], ("A/1/CB", "A/5/CA"), "no atom of line matches 'A/1/CB'"),
    ],
)
def test_bad_hinge(moving: list[str], axis: tuple[str, str], message: str) -> None:
    with pytest.raises(TemporemError, match=message):
        hinge_about_atoms(line_of_atoms(), moving, axis)
