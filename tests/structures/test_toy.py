"""The built-in protein has the geometry of proteins and an arm that can swing."""

import pytest
import torch
from torch import Tensor

from temporem.simulation.presets import load_simulation_config
from temporem.structures.molecule import Molecule
from temporem.structures.motions.base import conformations
from temporem.structures.motions.hinge import Hinge, hinge_about_atoms
from temporem.structures.toy import toy_molecule


@pytest.fixture(scope="module")
def toy() -> Molecule:
    return toy_molecule()


@pytest.fixture(scope="module")
def hinge(toy: Molecule) -> Hinge:
    motion = load_simulation_config("toy").motion
    return hinge_about_atoms(toy, motion.moving, motion.axis)


def atoms(toy: Molecule, selection: str) -> Tensor:
    return toy.positions_angstrom[toy.find(selection)]


def torsion(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """IUPAC torsion in degrees, after Blondel and Karplus."""
    f, g, h = a - b, b - c, d - c
    u, v = torch.linalg.cross(f, g), torch.linalg.cross(h, g)
    sine = (torch.linalg.cross(v, u) * g).sum(-1) / g.norm(dim=-1)
    return torch.rad2deg(torch.atan2(sine, (u * v).sum(-1)))


def test_size(toy: Molecule) -> None:
    assert 3000 <= len(toy) <= 4000
    assert toy.positions_angstrom.mean(0).abs().max() < 1e-9
    assert 80 < torch.pdist(toy.positions_angstrom[::3]).max() < 100


def test_helix_has_the_pitch_torsions_and_hydrogen_bonds_of_an_alpha_helix(toy: Molecule) -> None:
    n, ca, c, o = (atoms(toy, f"B/1-24/{name}") for name in ("N", "CA", "C", "O"))
    assert (n[1:] - c[:-1]).norm(dim=-1).allclose(torch.tensor(1.329, dtype=torch.float64))
    phi = torsion(c[:-1], n[1:], ca[1:], c[1:])
    psi = torsion(n[:-1], ca[:-1], c[:-1], n[1:])
    omega = torsion(ca[:-1], c[:-1], n[1:], ca[1:])
    assert phi.sub(-57.8).abs().max() < 1e-6
    assert psi.sub(-47.0).abs().max() < 1e-6
    assert omega.abs().sub(180).abs().max() < 1e-6
    assert (ca[18] - ca[0]).norm() / 18 == pytest.approx(1.5, abs=0.1)
    assert (n[4:] - o[:-4]).norm(dim=-1).mean() == pytest.approx(2.9, abs=0.25)


def test_residues_are_l_amino_acids_with_whole_side_chains(toy: Molecule) -> None:
    n, ca, c, cb = (atoms(toy, f"A/1-352/{name}") for name in ("N", "CA", "C", "CB"))
    chirality = (torch.linalg.cross(n - ca, c - ca) * (cb - ca)).sum(-1)
    assert (chirality > 0).all()
    assert ((cb - ca).norm(dim=-1) - 1.53).abs().max() < 1e-9
    angle = torch.nn.functional.cosine_similarity(c - ca, cb - ca, dim=-1)
    assert torch.rad2deg(angle.acos()).sub(110).abs().max() < 3


def test_no_atom_is_without_a_bond(toy: Molecule) -> None:
    distances = torch.cdist(toy.positions_angstrom, toy.positions_angstrom)
    distances.fill_diagonal_(10)
    assert distances.min(0).values.max() < 1.85


def test_arm_is_a_visible_part_that_swings_inside_the_box(toy: Molecule, hinge: Hinge) -> None:
    config = load_simulation_config("toy")
    assert 0.11 < hinge.moving.double().mean() < 0.16
    angles = torch.arange(0, 100, 9, dtype=torch.float64)[:, None]
    swing = conformations(hinge, angles)
    assert swing.norm(dim=-1).max() < config.box * config.pixel_size_angstrom / 2
    displacement = (swing[-1] - swing[0])[hinge.moving].norm(dim=-1)
    assert displacement.max() > 50
    backbone = torch.from_numpy((toy.atom_names == "CA") | (toy.atom_names == "N"))
    arm, body = hinge.moving & backbone, ~hinge.moving & backbone
    assert torch.cdist(swing[:, arm], swing[:, body]).min() > 3.4  # never through the body


def test_body_has_no_symmetry(toy: Molecule) -> None:
    """Third moments about its principal axes vanish along any axis that a symmetry turns over."""
    body = toy.positions_angstrom[torch.from_numpy(toy.chains == "A")]
    body = body - body.mean(0)
    axes = torch.linalg.svd(body, full_matrices=False)[2]
    coordinates = body @ axes.T
    skewness = coordinates.pow(3).mean(0) / coordinates.pow(2).mean(0) ** 1.5
    assert (skewness.abs() > 0.02).all()
