"""Covalent bonds, found by distance."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from temporem.structures.molecule import Molecule

_RADII_ANGSTROM = {
    1: 0.31,
    6: 0.76,
    7: 0.71,
    8: 0.66,
    15: 1.07,
    16: 1.05,
    34: 1.20,
}  # covalent (Cordero and others, 2008)
_OTHER_RADIUS_ANGSTROM = 1.2
_SLACK_ANGSTROM = 0.4


def residue_index(molecule: Molecule) -> np.ndarray:
    """Number of the residue of every atom, from 0 in the order of the atoms: int64 ``(N,)``."""
    new = molecule.chains[1:] != molecule.chains[:-1]
    new |= molecule.residue_numbers[1:] != molecule.residue_numbers[:-1]
    return np.concatenate([[0], np.cumsum(new)])


def bonded_pairs(molecule: Molecule, *conformations: np.ndarray) -> np.ndarray:
    """Pairs of atoms that are bonded in all conformations: ``(n, 2)``, first below second.

    Two atoms are bonded if they are at most the sum of their covalent radii plus 0.4 Å apart. They
    must be in the same residue or in neighbouring ones, or be two sulphurs, so that clashes of a
    model do not count as bonds.

    Args:
        molecule: the N atoms.
        *conformations: positions of the atoms, Å, ``(N, 3)`` each.
    """
    numbers = molecule.atomic_numbers.numpy()
    radii = np.array([_RADII_ANGSTROM.get(z, _OTHER_RADIUS_ANGSTROM) for z in numbers.tolist()])
    residue = residue_index(molecule)
    farthest = 2 * radii.max() + _SLACK_ANGSTROM
    first, second = cKDTree(conformations[0]).query_pairs(farthest, output_type="ndarray").T
    first, second = np.minimum(first, second), np.maximum(first, second)
    near = molecule.chains[first] == molecule.chains[second]
    near &= abs(residue[first] - residue[second]) <= 1
    near |= (numbers[first] == 16) & (numbers[second] == 16)
    for positions in conformations:
        distance = np.linalg.norm(positions[first] - positions[second], axis=1)
        near &= distance < radii[first] + radii[second] + _SLACK_ANGSTROM
    pairs = np.stack([first, second], axis=1)[near]
    return np.unique(pairs, axis=0)


def pairs_apart(pairs: np.ndarray, n_atoms: int, n_bonds: int) -> np.ndarray:
    """Pairs of atoms whose shortest path along bonds has ``n_bonds`` bonds: ``(m, 2)``."""
    bond = csr_array(
        (np.ones(2 * len(pairs)), (pairs.ravel(), pairs[:, ::-1].ravel())), shape=(n_atoms, n_atoms)
    )
    within = reached = csr_array((np.ones(n_atoms), (np.arange(n_atoms),) * 2), shape=bond.shape)
    for _ in range(n_bonds):
        within = within + reached
        reached = reached @ bond
    reached.data[:] = 1
    within.data[:] = 1
    first, second = (reached - reached.multiply(within)).nonzero()
    return np.unique(np.stack([first, second], axis=1)[first < second], axis=0)


def branched_atoms(bonds: np.ndarray, n_atoms: int) -> np.ndarray:
    """Atoms with three or more bonds, each with three of its neighbours: ``(n, 4)``."""
    either = np.concatenate([bonds, bonds[:, ::-1]])
    either = either[np.lexsort(either.T[::-1])]
    start = np.searchsorted(either[:, 0], np.arange(n_atoms))
    centres = np.flatnonzero(np.bincount(either[:, 0], minlength=n_atoms) >= 3)
    others = either[start[centres, None] + np.arange(3), 1]
    return np.concatenate([centres[:, None], others], axis=1)
