"""The atoms that two structures of one molecule share."""

from __future__ import annotations

from collections import Counter

import numpy as np
import roma
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.structures.molecule import Molecule

_LEAST_SHARED = 0.8
_FEWEST_ATOMS = 4


def match(start: Molecule, end: Molecule) -> tuple[Molecule, Tensor]:
    """Find the atoms that two structures share, and where they are in the second.

    Chains are paired in their order, atoms by residue number and name. Atoms that only one
    structure has are left out. The second structure is superposed on the first by least squares
    over all shared heavy atoms (Kabsch, 1976).

    Returns:
        The N shared atoms as in ``start``, and their positions in ``end``, Å, ``(N, 3)`` float64.

    Raises:
        TemporemError: the structures differ in their number of chains; residues with the same
            number have so few atoms in common that they must be different residues; or a residue's
            number occurs twice in a chain, as with insertion codes, which are not distinguished.
    """
    chains, others = (list(dict.fromkeys(m.chains.tolist())) for m in (start, end))
    if len(chains) != len(others):
        raise TemporemError(
            f"{start.name} has {start.describe_chains()}, {end.name} {end.describe_chains()}",
            expected="as many chains in both",
            hint="choose them with chains and motion.end_chains",
        )
    pair = dict(zip(others, chains, strict=True))
    keys, end_keys = _keys(start), _keys(end, pair)
    for name, found in ((start.name, keys), (end.name, end_keys)):
        _require_once(name, found)
    of_end = {key: i for i, key in enumerate(end_keys)}
    shared = np.array([key in of_end for key in keys])
    kept = [key for key in keys if key in of_end]
    residues = {key[:2] for key in of_end}
    in_both = sum(key[:2] in residues for key in keys)
    if len(kept) < max(_FEWEST_ATOMS, _LEAST_SHARED * in_both):
        raise TemporemError(
            f"{start.name} and {end.name} share {len(kept)} of the {in_both} atoms of residues "
            "with the same number",
            expected="the same molecule, numbered alike, in both",
            hint="choose chains with chains and motion.end_chains, or renumber one",
        )
    molecule = start.select(torch.from_numpy(shared))
    positions = end.positions_angstrom[[of_end[key] for key in kept]]
    return molecule, _superposed(positions, molecule)


def _require_once(name: str, keys: list[tuple[str, int, str]]) -> None:
    ((chain, number, atom), count), *_ = Counter(keys).most_common(1)
    if count > 1:
        raise TemporemError(
            f"{name}: residue {number} of chain {chain} has {count} atoms {atom}",
            expected="each residue number once in a chain; insertion codes are not distinguished",
            hint="renumber the residues of both structures",
        )


def _superposed(positions: Tensor, molecule: Molecule) -> Tensor:
    heavy = molecule.atomic_numbers > 1
    rotation, shift = roma.rigid_points_registration(
        positions[heavy], molecule.positions_angstrom[heavy]
    )
    return positions @ rotation.T + shift


def _keys(molecule: Molecule, renamed: dict[str, str] | None = None) -> list[tuple[str, int, str]]:
    chains = molecule.chains.tolist()
    if renamed is not None:
        chains = [renamed[chain] for chain in chains]
    return list(
        zip(chains, molecule.residue_numbers.tolist(), molecule.atom_names.tolist(), strict=True)
    )
