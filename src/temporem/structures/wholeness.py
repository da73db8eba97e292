"""Bonds and close contacts of a molecule along its path."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from torch import Tensor

from temporem.structures.bonds import bonded_pairs, pairs_apart
from temporem.structures.molecule import Molecule
from temporem.structures.relaxation import distances

CLOSE_ANGSTROM = 2.5
"""Atoms four or more bonds apart that are nearer than this clash."""


class Wholeness(NamedTuple):
    """How well a path keeps bonds, and the distance of atoms that are not bonded.

    Attributes:
        worst_bond_deviation_angstrom: largest deviation of a bond, in any conformation, from its
            mean length.
        close_pairs: largest number of pairs within 2.5 Å, four or more bonds apart, in any
            conformation.
    """

    worst_bond_deviation_angstrom: float
    close_pairs: int


def wholeness(molecule: Molecule, conformations: Tensor) -> Wholeness:
    """Judge conformations ``(S, N, 3)``, Å; bonds are those of the molecule's own positions."""
    n = len(molecule)
    bonds = bonded_pairs(molecule, molecule.positions_angstrom.numpy())
    linked = np.concatenate([bonds, *(pairs_apart(bonds, n, k) for k in (2, 3))]) @ [n, 1]
    lengths, close = [], 0
    for positions in conformations.numpy():
        lengths.append(distances(positions, bonds))
        pairs = np.sort(cKDTree(positions).query_pairs(CLOSE_ANGSTROM, output_type="ndarray"), 1)
        close = max(close, int((~np.isin(pairs @ [n, 1], linked)).sum()))
    off = np.abs(np.stack(lengths) - np.mean(lengths, axis=0))
    return Wholeness(float(off.max(initial=0.0)), close)
