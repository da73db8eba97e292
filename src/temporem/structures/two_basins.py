"""An all-atom structure-based (Gō) model of a molecule with two known conformations.

All terms follow from the conformations alone, as in the structure-based models of Whitford and
others (2009). λ goes from 0 at the first conformation to 1 at the last:

- Bonds, angles (1–3 distances), peptide bonds (Cα to next Cα) and other torsions that are alike in
  both conformations (1–4 distances) are springs ``½ k (r − l(λ))²``. Their lengths l change evenly
  from first to last.
- Atoms with three or more bonds keep their handedness or their plane: ``k (1 − cos(θ − θ₀))`` with
  the improper dihedral θ.
- Contacts are atoms within 4.5 Å that are more than three bonds apart:
  ``ε w(λ) x² / (1 + x²)`` with ``x = (r − l) / 1 Å``, a spring that gives way. Contacts of both
  conformations stay. Those of the first alone fade, ``w = 1 − λ``; those of the last alone appear,
  ``w = λ``.
- Atoms more than three bonds apart repel each other below σ: ``ε (1 − r² / σ²)²``. This is soft
  enough that a long time step does not fling apart atoms that meet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from temporem.structures.bonds import bonded_pairs, branched_atoms, pairs_apart
from temporem.structures.molecule import Molecule
from temporem.structures.relaxation import distances

BOND, ANGLE, TORSION = 1000.0, 300.0, 30.0  # kJ/mol/Å²
IMPROPER = 200.0  # kJ/mol
CONTACT, CONTACT_WIDTH_ANGSTROM = 2.0, 1.0  # kJ/mol
REPULSION, REPULSION_ANGSTROM = 100.0, 3.0  # kJ/mol, σ
_CONTACT_ANGSTROM = 4.5
_SAME_TORSION_ANGSTROM = 0.3
_SAME_CONTACT_ANGSTROM = 1.5


@dataclass(frozen=True, eq=False)
class Contacts:
    """Pairs of atoms that attract each other.

    Attributes:
        pairs: int ``(n, 2)``.
        lengths: l at λ = 0 and 1, Å, ``(n, 2)``.
        weights: w at λ = 0 and 1, ``(n, 2)``.
    """

    pairs: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class TwoBasins:
    """The terms of the model.

    Attributes:
        springs: pairs of atoms with a spring, int ``(n, 2)``.
        lengths: l at λ = 0 and 1, Å, ``(n, 2)``.
        stiffness: k, kJ/mol/Å², ``(n,)``.
        impropers: atom and three bonded to it, int ``(m, 4)``.
        dihedrals: θ₀, radians, ``(m,)``.
        contacts: pairs that attract each other.
        excluded: pairs up to three bonds apart, which do not repel, int ``(e, 2)``.
    """

    springs: np.ndarray
    lengths: np.ndarray
    stiffness: np.ndarray
    impropers: np.ndarray
    dihedrals: np.ndarray
    contacts: Contacts
    excluded: np.ndarray


def two_basins(molecule: Molecule, ends: np.ndarray) -> TwoBasins:
    """Build the model of a molecule of N atoms from its conformations ``ends (2, N, 3)``, Å."""
    n = len(molecule)
    bonds = bonded_pairs(molecule, *ends)
    angles, torsions = (pairs_apart(bonds, n, k) for k in (2, 3))
    excluded = np.concatenate([bonds, angles, torsions])
    held = np.ptp(_lengths(ends, torsions), axis=1) < _SAME_TORSION_ANGSTROM
    peptide = (molecule.atom_names[torsions] == "CA").all(1)  # its plane, even where it differs
    groups = (
        (bonds, BOND),
        (angles, ANGLE),
        (torsions[peptide], ANGLE),
        (torsions[held & ~peptide], TORSION),
    )
    springs = np.concatenate([pairs for pairs, _ in groups])
    impropers = branched_atoms(bonds, n)
    # Halfway between both on the circle; where handedness is kept they are near each other.
    turns = np.exp(1j * np.stack([dihedral_angles(end, impropers) for end in ends])).sum(0)
    return TwoBasins(
        springs=springs,
        lengths=_lengths(ends, springs),
        stiffness=np.concatenate([np.full(len(pairs), k) for pairs, k in groups]),
        impropers=impropers,
        dihedrals=np.angle(turns),
        contacts=_contacts(ends, excluded),
        excluded=excluded,
    )


def dihedral_angles(positions: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Dihedral angles of ``(m, 4)`` atoms, radians, with the sign of IUPAC: ``(m,)``."""
    first, middle, last = (positions[atoms[:, i + 1]] - positions[atoms[:, i]] for i in range(3))
    one, other = np.cross(first, middle), np.cross(middle, last)
    axis = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    return np.arctan2((np.cross(one, other) * axis).sum(1), (one * other).sum(1))


def _contacts(ends: np.ndarray, excluded: np.ndarray) -> Contacts:
    n = ends.shape[1]
    found = [cKDTree(end).query_pairs(_CONTACT_ANGSTROM, output_type="ndarray") for end in ends]
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    pairs = pairs[~np.isin(pairs @ [n, 1], excluded @ [n, 1])]
    lengths = _lengths(ends, pairs)
    stays = np.ptp(lengths, axis=1) < _SAME_CONTACT_ANGSTROM
    # A pair that is near in both, at different distances, has a contact of each.
    fades, comes = ((lengths[:, i] < _CONTACT_ANGSTROM) & ~stays for i in (0, 1))
    return Contacts(
        np.concatenate([pairs[stays], pairs[fades], pairs[comes]]),
        np.concatenate([lengths[stays], lengths[fades][:, [0, 0]], lengths[comes][:, [1, 1]]]),
        np.repeat([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]], [stays.sum(), fades.sum(), comes.sum()], 0),
    )


def _lengths(ends: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return np.stack([distances(end, pairs) for end in ends], axis=1)
