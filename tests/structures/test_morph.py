"""Morphs: turns are turned through, molecules stay molecules, and straight lines would not do."""

from typing import NamedTuple

import numpy as np
import pytest
import roma
import torch
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.physics.rotations import rotation_about_axis
from temporem.structures import morph as morph_module
from temporem.structures.bonds import bonded_pairs, pairs_apart, residue_index
from temporem.structures.matching import match
from temporem.structures.molecule import Molecule
from temporem.structures.morph import morph
from temporem.structures.motions.base import conformations
from temporem.structures.motions.hinge import hinge_about_atoms
from temporem.structures.reading import read_molecule
from temporem.structures.relaxation import distances, relax, signed_volumes
from temporem.structures.snapshot_path import path_through
from temporem.structures.toy import toy_molecule

STRUCTURES = SHARED / "structures"


def turned_about(molecule: Molecule, moving: list[str], axis: tuple[str, str], *angles: float):
    """Conformations of a hinge, ``(n, N, 3)``."""
    hinge = hinge_about_atoms(molecule, moving, axis)
    return conformations(hinge, torch.tensor(angles, dtype=torch.float64)[:, None])


@pytest.fixture(scope="module")
def toy() -> Molecule:
    return toy_molecule()


@pytest.fixture(scope="module")
def arm(toy: Molecule) -> Molecule:
    """The helix that is the hinge and the two of the arm."""
    return toy.select(toy.find("A/1-21") | toy.find("B/1-48"))


@pytest.fixture(scope="module")
def helix(toy: Molecule) -> Molecule:
    return toy.select(toy.find("B/1-24"))


class Quality(NamedTuple):
    """What is wrong with conformations on a path, the worst of them; lengths in Å."""

    bond: float
    angle: float  # as the distance of atoms two bonds apart
    next_residue: float  # Cα to Cα
    clashes: int  # pairs of atoms four or more bonds apart within 2.5 Å
    clashes_of_ends: int
    helix: float  # Cα to those three and four on, where both ends have a helix; 99 % are better
    mirrored: int  # Cα that have turned into those of D-amino acids


def quality(molecule: Molecule, path: Tensor) -> Quality:
    """Against what goes evenly from the first conformation to the last."""
    atoms = path.numpy()
    ends, n = atoms[[0, -1]], len(molecule)
    bonds = bonded_pairs(molecule, *ends)
    near = [bonds, *(pairs_apart(bonds, n, k) for k in (2, 3))]
    alphas = np.flatnonzero(molecule.atom_names == "CA")
    residue = residue_index(molecule)
    linked = bonds[residue[bonds[:, 1]] == residue[bonds[:, 0]] + 1]
    in_a_row = np.isin(np.arange(len(alphas) - 1), residue[linked[:, 0]])
    next_ones = np.stack([alphas[:-1], alphas[1:]], axis=1)[in_a_row]

    def off(pairs: np.ndarray, share: float = 1.0) -> float:
        first, last = (distances(end, pairs) for end in ends)
        return max(
            float(np.quantile(abs(distances(x, pairs) - (1 - s) * first - s * last), share))
            for s, x in zip(np.linspace(0, 1, len(atoms)), atoms, strict=True)
        )

    def clashes(x: np.ndarray) -> int:
        pairs = np.sort(cKDTree(x).query_pairs(2.5, output_type="ndarray"), axis=1)
        return int((~np.isin(pairs @ [n, 1], np.concatenate(near) @ [n, 1])).sum())

    turns = []
    for apart, length in ((3, 5.1), (4, 6.2)):
        pairs = np.stack([alphas[:-apart], alphas[apart:]], axis=1)
        helical = np.all([abs(distances(end, pairs) - length) < 0.5 for end in ends], axis=0)
        turns.append(pairs[helical])

    index = {(r, a): i for i, (r, a) in enumerate(zip(residue, molecule.atom_names, strict=True))}
    corners = [[(r, a) for a in ("CA", "N", "C", "CB")] for r in range(residue[-1] + 1)]
    chiral = np.array(
        [[index[c] for c in four] for four in corners if all(c in index for c in four)]
    )
    signs = np.sign([signed_volumes(x, chiral) for x in atoms])
    return Quality(
        bond=off(near[0]),
        angle=off(near[1]),
        next_residue=off(next_ones),
        clashes=max(map(clashes, atoms[1:-1])),
        clashes_of_ends=max(map(clashes, ends)),
        helix=off(np.concatenate(turns), 0.99),
        mirrored=int((signs != signs[0]).sum(1).max()),
    )


def straight(path: Tensor) -> Tensor:
    s = torch.linspace(0, 1, len(path), dtype=torch.float64)[:, None, None]
    return torch.lerp(path[0], path[-1], s)


def assert_molecule_stays_whole(molecule: Molecule, path: Tensor) -> Quality:
    found = quality(molecule, path)
    assert found.bond < 0.1
    assert found.angle < 0.25
    assert found.next_residue < 0.15
    assert found.clashes <= found.clashes_of_ends + len(molecule) / 1000
    assert found.helix < 0.5
    assert found.mirrored == 0
    return found


def assert_straight_lines_do_not(molecule: Molecule, path: Tensor) -> None:
    found = quality(molecule, straight(path))
    assert found.bond > 0.4
    assert found.angle > 0.6
    assert found.next_residue > 0.8
    assert found.clashes > found.clashes_of_ends + len(molecule) / 100
    assert found.helix > 1.5


def rms(difference: Tensor) -> Tensor:
    return difference.square().sum(-1).mean(-1).sqrt()


def superposed_rms(a: Tensor, b: Tensor) -> Tensor:
    rotation, shift = roma.rigid_points_registration(a, b)
    return rms(a @ rotation.mT + shift[:, None] - b)


def test_a_path_is_made_on_one_thread_of_blas(helix: Molecule, monkeypatch) -> None:
    """Whatever else runs: threads that wait for one another take ten times as long."""
    threads = []

    def seen(*arguments, **more):
        threads.extend(p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas")
        return relax(*arguments, **more)

    monkeypatch.setattr(morph_module, "relax", seen)
    end = helix.positions_angstrom + torch.tensor([1.0, 0.0, 0.0])
    with threadpool_limits(2, "blas"):
        morph(helix, end * 1.01, 3)
    assert set(threads) == {1}


@pytest.mark.integration
def test_a_part_that_turned_is_turned_through_evenly(arm: Molecule) -> None:
    """The path of a hinge is found again from its ends."""
    ends = turned_about(arm, ["B/1-48"], ("A/2/CA", "A/20/CA"), 0, 90)
    path = morph(arm, ends[1], 5)
    assert_molecule_stays_whole(arm, path)
    assert_straight_lines_do_not(arm, path)
    at = torch.linspace(0, 90, len(path)).tolist()
    hinge = turned_about(arm, ["B/1-48"], ("A/2/CA", "A/20/CA"), *at)
    assert superposed_rms(straight(path), hinge).max() > 3
    assert superposed_rms(path, hinge).max() < 1


def test_one_torsion_that_turns_leaves_the_rest(helix: Molecule) -> None:
    moving = ["B/13-24", "B/12/O"]
    ends = turned_about(helix, moving, ("B/12/CA", "B/12/C"), 0, 120)
    path = morph(helix, ends[1], 9)
    assert_molecule_stays_whole(helix, path)
    assert_straight_lines_do_not(helix, path)


def test_ends_are_exact_and_steps_about_equal(helix: Molecule) -> None:
    ends = turned_about(helix, ["B/13-24", "B/12/O"], ("B/12/CA", "B/12/C"), 0, 120)
    calls: list[tuple[int, int]] = []
    path = morph(helix, ends[1], 7, progress=lambda done, total: calls.append((done, total)))
    assert path[0].equal(helix.positions_angstrom)
    assert path[-1].equal(ends[1])
    steps = rms(path.diff(dim=0))
    assert steps.max() < 1.4 * steps.min()
    assert calls == [(i, len(path) - 1) for i in range(1, len(path) - 1)]
    assert morph(helix, ends[1], 7).equal(path)


@pytest.mark.parametrize("n_states", [2, 3, 4])
def test_states_are_on_the_path_and_neighbours_near(helix: Molecule, n_states: int) -> None:
    ends = turned_about(helix, ["B/13-24", "B/12/O"], ("B/12/CA", "B/12/C"), 0, 120)
    path = morph(helix, ends[1], n_states)
    assert (len(path) - 1) % (n_states - 1) == 0
    assert len(path) > n_states
    assert rms(path.diff(dim=0)).max() < 3


def test_where_the_ends_are_in_space_does_not_matter(helix: Molecule) -> None:
    """Both turned alike: so is the path."""
    ends = turned_about(helix, ["B/13-24", "B/12/O"], ("B/12/CA", "B/12/C"), 0, 40)
    turn = rotation_about_axis(
        torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    )
    elsewhere = Molecule(**{**vars(helix), "positions_angstrom": ends[0] @ turn.T + 5})
    path, moved = morph(helix, ends[1], 3), morph(elsewhere, ends[1] @ turn.T + 5, 3)
    assert rms(moved - (path @ turn.T + 5)).max() < 0.1


def test_parts_without_a_bond_or_neighbour_go_along(helix: Molecule) -> None:
    far = torch.where(helix.find("B/20-24")[:, None], 100.0, 0.0)
    lone = Molecule(**{**vars(helix), "positions_angstrom": helix.positions_angstrom + far})
    path = morph(lone, lone.positions_angstrom + far * 0.1, 3)
    assert rms(path.diff(dim=0)).max() < 3
    assert quality(lone, path).bond < 0.05


def test_same_ends_are_refused(helix: Molecule) -> None:
    with pytest.raises(TemporemError, match="both ends of the morph are the same"):
        morph(helix, helix.positions_angstrom, 3)


@pytest.mark.integration
def test_kinase_opens_whole() -> None:
    start, end = (read_molecule(STRUCTURES / f"adk/adk_{s}.pdb") for s in ("closed", "open"))
    start = start.select(start.atomic_numbers > 1)
    molecule, last = match(start, end)
    assert len(molecule) == 1656
    path = morph(molecule, last, 6)
    assert_molecule_stays_whole(molecule, path)


def test_hydrogens_stay_on_their_atoms() -> None:
    start, end = (read_molecule(STRUCTURES / f"adk/adk_{s}.pdb") for s in ("closed", "open"))
    first = torch.from_numpy(start.residue_numbers <= 60)
    molecule, last = match(start.select(first), end)
    assert (molecule.atomic_numbers == 1).sum() > 400
    path = morph(molecule, last, 3)
    found = quality(molecule, path)
    assert found.bond < 0.1
    assert found.mirrored == 0


@pytest.mark.slow
def test_cas9_goes_from_free_to_bound_whole() -> None:
    start, end = (
        read_molecule(STRUCTURES / f"cas9_{name}_model.pdb", hydrogens=False)
        for name in ("apo_4cmq_B", "bound_4zt0_C")
    )
    molecule, last = match(start, end)
    assert len(molecule) == 11119
    alphas = torch.from_numpy(molecule.atom_names == "CA")
    path = morph(molecule, last, 19)
    assert len(path) == 19
    assert rms((path[-1] - path[0])[alphas]) == pytest.approx(29.7, abs=0.1)
    steps = rms(path.diff(dim=0))
    assert steps.max() < 1.4 * steps.min()
    print(assert_molecule_stays_whole(molecule, path))
    print(quality(molecule, straight(path)))
    assert_straight_lines_do_not(molecule, path)
    frames = torch.linspace(0, 1, 19, dtype=torch.float64)[:, None]
    motion = path_through(molecule, path, evenly=True)
    assert (conformations(motion, frames) - path).abs().max() < 1e-4
