"""A molecule of a few atoms in places that are easy to reckon with."""

from __future__ import annotations

import numpy as np
import torch

from temporem.structures.molecule import Molecule


def line_of_atoms() -> Molecule:
    """Six carbons: four on the x axis, one on z above the origin, one far off in chain B."""
    positions = [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [0, 0, 1], [5, 5, 5]]
    return Molecule(
        name="line",
        positions_angstrom=torch.tensor(positions, dtype=torch.float64),
        atomic_numbers=torch.full((6,), 6),
        chains=np.array(list("AAAAAB")),
        residue_numbers=np.array([1, 2, 3, 4, 5, 1]),
        atom_names=np.array(["CA"] * 6),
    )
