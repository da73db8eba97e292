"""Beads in several states as models of one PDB or mmCIF file, for molecular viewers."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from temporem.errors import TemporemError
from temporem.io.files import atomic_write

PDB_BEADS = 9_999
"""Beads of a body that PDB can number; mmCIF has no such limit."""
_PDB_BODIES = 26
_PDB_COORDINATES = (-999.0, 9999.0)  # Å
_LARGEST_B = 999.0


def write_models(
    path: Path, states: np.ndarray, bodies: np.ndarray, weights: np.ndarray, moved: np.ndarray
) -> None:
    """Write beads as a file of many models: a chain for each body, a residue for each bead.

    The suffix chooses the format, ``.pdb`` or ``.cif``. Atoms are named CA, of element C, in
    residues BEA that are no polymer, so that viewers draw no bonds along them.

    Args:
        path: the file; one that exists is replaced.
        states: positions (x, y, z), Å, from the first voxel of the volumes, ``(S, N, 3)``.
        bodies: body of each bead, counted from 0, ``(N,)``; chain A is body 0.
        weights: density of each bead, written as the occupancy, the largest as 1, ``(N,)``.
        moved: written as the B factor, Å, ``(N,)``.

    Raises:
        TemporemError: PDB cannot hold so many beads, or places so far out; the disk fails.
    """
    if path.suffix == ".pdb":
        _require_fit(path, states, bodies)
    structure = _structure(states, bodies, weights / weights.max(), moved)
    with atomic_write(path) as partial:
        if path.suffix == ".pdb":
            structure.write_pdb(str(partial))
        else:
            structure.make_mmcif_document().write_file(str(partial))


def fits_pdb(states: np.ndarray, bodies: np.ndarray) -> bool:
    """True if a PDB file can hold the beads; arguments are those of :func:`write_models`."""
    low, high = _PDB_COORDINATES
    counts = np.bincount(bodies)
    return bool(
        counts.max() <= PDB_BEADS
        and len(counts) <= _PDB_BODIES
        and states.min() > low
        and states.max() < high
    )


def _require_fit(path: Path, states: np.ndarray, bodies: np.ndarray) -> None:
    if not fits_pdb(states, bodies):
        raise TemporemError(
            f"{path}: PDB cannot hold {len(bodies)} beads in {bodies.max() + 1} bodies from "
            f"{states.min():.0f} to {states.max():.0f} Å",
            expected=f"up to {PDB_BEADS} beads a body, coordinates below 9999 Å",
            hint="write .cif instead",
        )


def _structure(
    states: np.ndarray, bodies: np.ndarray, occupancy: np.ndarray, moved: np.ndarray
) -> gemmi.Structure:
    structure = gemmi.Structure()
    structure.name = "motion"
    b_factors = np.minimum(moved, _LARGEST_B)
    for number, positions in enumerate(states, start=1):
        model = gemmi.Model(number)
        for body in range(bodies.max() + 1):
            chain = gemmi.Chain(_chain_name(body))
            for place, bead in enumerate(np.flatnonzero(bodies == body), start=1):
                atom = gemmi.Atom()
                atom.name, atom.element = "CA", gemmi.Element("C")
                atom.pos = gemmi.Position(*positions[bead])
                atom.occ, atom.b_iso = float(occupancy[bead]), float(b_factors[bead])
                residue = gemmi.Residue()
                residue.name, residue.seqid = "BEA", gemmi.SeqId(place, " ")
                residue.het_flag = "H"
                residue.add_atom(atom)
                chain.add_residue(residue)
            model.add_chain(chain)
        structure.add_model(model)
    structure.setup_entities()
    return structure


def _chain_name(body: int) -> str:
    """Names A, B, … Z, AA, AB, …"""
    name = ""
    body += 1
    while body:
        body, letter = divmod(body - 1, 26)
        name = chr(ord("A") + letter) + name
    return name
