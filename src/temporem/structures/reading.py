"""Molecules from PDB and mmCIF files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path

import gemmi
import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.structures.molecule import Molecule

_ELEMENTS_OF_LIFE = ("H", "D", "C", "N", "O", "P", "S", "Se")


def read_molecule(
    path: str | Path,
    *,
    chains: Collection[str] | None = None,
    hydrogens: bool = True,
    waters: bool = False,
    hetero: bool = False,
) -> Molecule:
    """Read the first model of a PDB or mmCIF file, gzipped or not.

    Where an atom has alternative locations, or a residue several kinds, the one with the highest
    occupancy is kept.

    Args:
        path: ``.pdb``, ``.ent``, ``.cif`` or ``.mmcif``, with or without ``.gz``.
        chains: names of the chains to keep; all when None.
        hydrogens: keep hydrogens, where there are any.
        waters: keep waters.
        hetero: keep ligands and ions, that is all that is neither polymer nor water.

    Raises:
        TemporemError: the file is missing or unreadable, its names are not UTF-8, a chain is not in
            it, an atom is twice in a residue, or nothing is left.
    """
    path = Path(path)
    require_readable_name(path)
    model = _read_model(path)
    try:
        return _molecule(model, path, chains, hydrogens=hydrogens, waters=waters, hetero=hetero)
    except UnicodeDecodeError as error:
        raise TemporemError(
            f"{path} has names of atoms, residues or chains that are not UTF-8 ({error})",
            expected="a PDB or mmCIF file, which is text in ASCII or UTF-8",
            hint="convert it, or correct the names",
        ) from error


def require_readable_name(path: Path) -> None:
    """Raise a TemporemError for a path that is not UTF-8, because parsers cannot open it."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise TemporemError(
            f"{path}: the path is not UTF-8",
            hint="rename it, or name a link to it",
        ) from None


def _molecule(
    model: gemmi.Model,
    path: Path,
    chains: Collection[str] | None,
    *,
    hydrogens: bool,
    waters: bool,
    hetero: bool,
) -> Molecule:
    _mend_elements(model)
    present = list(dict.fromkeys(_chain_name(chain, r) for chain in model for r in chain))
    unknown = sorted(set(chains or ()) - set(present))
    if unknown:
        raise TemporemError(
            f"{path} has no chain {', '.join(unknown)}", expected=f"of {', '.join(present)}"
        )

    columns = [
        (name, number, atom)
        for chain in model
        for name, number, atom in _atoms(chain, waters=waters, hetero=hetero)
        if (chains is None or name in chains) and (hydrogens or not atom.is_hydrogen())
    ]
    if not columns:
        raise TemporemError(
            f"{path}: no atom left after selection",
            expected=f"a polymer in chain {' or '.join(chains or present)}",
            hint="keep hetero atoms or choose other chains",
        )
    chain_names, residue_numbers, atoms = zip(*columns, strict=True)
    positions = torch.tensor([atom.pos.tolist() for atom in atoms], dtype=torch.float64)
    atomic_numbers = torch.tensor([atom.element.atomic_number for atom in atoms])
    if not positions.isfinite().all() or (atomic_numbers == 0).any():
        raise TemporemError(
            f"{path} has atoms without coordinates or element", hint="remove or mend those atoms"
        )
    return Molecule(
        name=path.name.split(".")[0],
        positions_angstrom=positions,
        atomic_numbers=atomic_numbers,
        chains=np.array(chain_names),
        residue_numbers=np.array(residue_numbers),
        atom_names=np.array([atom.name for atom in atoms]),
    )


def _read_model(path: Path) -> gemmi.Model:
    if not path.is_file():
        raise TemporemError(f"no structure file {path}", expected="a PDB or mmCIF file")
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise TemporemError(
            f"cannot read {path}: {error}", expected="a PDB or mmCIF file"
        ) from error
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise TemporemError(f"{path} holds no atoms", expected="a PDB or mmCIF file")
    structure.setup_entities()  # tells polymers from ligands
    return structure[0]


def _mend_elements(model: gemmi.Model) -> None:
    """Take elements from atom names where a file lacks them, as files of simulation programs do.

    Without a column of elements, and with names shifted in their columns, CA reads as calcium and
    HG1 as mercury. Standard residues have neither, which gives such files away.
    """
    residues = [(residue, chain) for chain in model for residue in chain]
    standard = [r for r, _ in residues if gemmi.find_tabulated_residue(r.name).is_standard()]
    if all(atom.element.name in _ELEMENTS_OF_LIFE for r in standard for atom in r):
        return
    for residue, chain in residues:
        if residue.is_water() or _is_polymer(residue, chain):
            for atom in residue:
                letter = atom.name.lstrip("0123456789")[:1]
                atom.element = gemmi.Element(letter if letter in _ELEMENTS_OF_LIFE else "X")


def _chain_name(chain: gemmi.Chain, residue: gemmi.Residue) -> str:
    """Name of a chain, or of the segment where simulation programs leave chains unnamed."""
    return chain.name or residue.segment or "A"


def _is_polymer(residue: gemmi.Residue, chain: gemmi.Chain) -> bool:
    """Decide by the parser, or by the kind of residue where chains have no names."""
    if residue.entity_type == gemmi.EntityType.Polymer:
        return True
    if chain.name and residue.entity_type != gemmi.EntityType.Unknown:
        return False
    kind = gemmi.find_tabulated_residue(residue.name)
    return kind.is_amino_acid() or kind.is_nucleic_acid()


def _atoms(
    chain: gemmi.Chain, *, waters: bool, hetero: bool
) -> Iterator[tuple[str, int, gemmi.Atom]]:
    """Chain name, residue number and atom of all that is kept, one location for each atom."""
    for residue in _one_kind_per_site(chain):
        if waters if residue.is_water() else hetero or _is_polymer(residue, chain):
            name, number = _chain_name(chain, residue), residue.seqid.num or 0
            for atom in _one_location_per_atom(residue, f"residue {residue.seqid} of chain {name}"):
                yield name, number, atom


def _one_kind_per_site(chain: gemmi.Chain) -> Iterator[gemmi.Residue]:
    """Choose one of the residues in a row that share a number, the one of highest occupancy.

    A number that occurs again later is another site.
    """

    def site(residue: gemmi.Residue) -> tuple[str, str, bool]:
        return str(residue.seqid), residue.segment, residue.is_water()

    for _, kinds in groupby(chain, key=site):
        yield max(kinds, key=lambda residue: max((atom.occ for atom in residue), default=0.0))


def _one_location_per_atom(residue: gemmi.Residue, what: str) -> Iterator[gemmi.Atom]:
    names = Counter((atom.name, atom.altloc) for atom in residue)
    (name, _), count = names.most_common(1)[0]
    if count > 1:  # the parser takes several molecules in one chain for one
        raise TemporemError(
            f"{what} has {count} atoms {name} at one position",
            expected="alternative locations, or chains of different names",
            hint="name the chains in the file",
        )
    best: dict[str, gemmi.Atom] = {}
    for atom in residue:
        if atom.name not in best or atom.occ > best[atom.name].occ:
            best[atom.name] = atom
    yield from best.values()
