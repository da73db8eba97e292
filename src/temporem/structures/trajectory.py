"""Trajectories of molecular dynamics, read with MDAnalysis."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import gemmi
import numpy as np
import roma
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.structures.molecule import Molecule
from temporem.structures.reading import require_readable_name

_MAX_POSITIONS = 20_000_000  # atoms × snapshots; 480 MB in float64, and superposition makes copies
_ATOMIC_WEIGHTS = np.array([gemmi.Element(z).weight for z in range(1, 99)])


def read_trajectory(
    topology: str | Path,
    coordinates: str | Path,
    *,
    chains: Collection[str] | None = None,
    hydrogens: bool = True,
) -> tuple[Molecule, Tensor]:
    """Read all snapshots of a trajectory, superposed on the first.

    Proteins and nucleic acids are kept; water, ions and ligands are left out. Elements are those of
    the topology, or follow from its masses. Chains without a name take that of their segment.
    Every snapshot is superposed on the first by least squares over all heavy atoms that are kept,
    so that only changes of shape are left. Molecules must be whole, not cut by a periodic boundary.

    Args:
        topology: names, residues and elements or masses; any format MDAnalysis reads.
        coordinates: snapshots of the same atoms; any format MDAnalysis reads.
        chains: names of the chains to keep; all when None.
        hydrogens: keep hydrogens, where there are any.

    Returns:
        The N atoms at the first snapshot, and positions of the S snapshots, Å, ``(S, N, 3)``
        float64.

    Raises:
        TemporemError: MDAnalysis is not installed; a file is missing, cannot be read, is cut off or
            does not fit the other; an element is ambiguous; a chain is missing; no atom is left; or
            there are too many snapshots.
    """
    topology, coordinates = Path(topology), Path(coordinates)
    universe, n_snapshots = _open(topology, coordinates)
    molecule_of, kept = _describe(universe, topology, chains, hydrogens)
    if n_snapshots * len(kept) > _MAX_POSITIONS:
        raise TemporemError(
            f"{coordinates} is too large: {n_snapshots:,} snapshots of {len(kept):,} atoms",
            expected=f"at most {_MAX_POSITIONS:,} positions",
            hint="write every n-th snapshot to a file of its own",
        )
    snapshots = torch.from_numpy(_positions(universe, kept, coordinates))
    if not snapshots.isfinite().all():
        raise TemporemError(
            f"{coordinates} has atoms without coordinates", hint="write the trajectory again"
        )
    snapshots = superposed(snapshots, molecule_of["atomic_numbers"] > 1)
    name = topology.name.split(".")[0]
    return Molecule(name, positions_angstrom=snapshots[0], **molecule_of), snapshots


def _open(topology: Path, coordinates: Path) -> tuple[Any, int]:
    """Open an MDAnalysis universe, and count its snapshots."""
    try:
        import MDAnalysis  # optional, and takes a second
    except ImportError as error:
        raise TemporemError(
            "trajectories are read with MDAnalysis, which is not installed",
            hint="pip install 'temporem[trajectory]'",
        ) from error
    for path in (topology, coordinates):
        if not path.is_file():
            raise TemporemError(f"no trajectory file {path}", expected="a file MDAnalysis reads")
        require_readable_name(path)
    if coordinates.suffix.lower() == ".dcd":
        _check_dcd(coordinates)
    if coordinates.suffix.lower() == ".xtc":
        _try_xtc(coordinates)
    universe, path, problem, n_snapshots = None, topology, None, 0
    with _quiet():
        try:
            universe = MDAnalysis.Universe(str(topology))
            path = coordinates
            universe.load_new(str(coordinates))
            n_snapshots = universe.trajectory.n_frames  # for which some readers read all of it
        except Exception as error:  # parsers raise errors of any kind
            problem = _unreadable(path, error)
    if problem is not None:
        raise problem
    return universe, n_snapshots


def _positions(universe: Any, kept: np.ndarray, coordinates: Path) -> np.ndarray:
    """Read some atoms in all snapshots: float64 ``(S, n, 3)``."""
    trajectory = universe.trajectory
    positions = np.empty((trajectory.n_frames, len(kept), 3))
    with _quiet():
        try:
            # By number: iterators and timeseries() of MDAnalysis take an error for the end.
            for i in range(len(positions)):
                positions[i] = trajectory[i].positions[kept]
        except Exception as error:  # as in _open
            raise _unreadable(coordinates, error) from error
    return positions


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence MDAnalysis's warnings about guesses, its future and readers it left half open.

    Such readers fail once more when they are deleted, which Python reports with a traceback.
    """
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        sys.unraisablehook = hook


def _unreadable(path: Path, error: Exception) -> TemporemError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return TemporemError(
        f"cannot read {path}: {reason}",
        expected="a whole file that MDAnalysis reads, and coordinates of the topology's atoms",
    )


_READ_XTC = """
import sys
from MDAnalysis.lib.formats.libmdaxdr import XTCFile
with XTCFile(sys.argv[1]) as snapshots:
    len(snapshots)
    for _ in snapshots:
        pass
"""


def _try_xtc(path: Path) -> None:
    """Refuse an XTC file that ends the process that reads it.

    The library aborts on many damaged files, so another process reads the file first. Damage that
    the library reports as an error is left to :func:`_open`.
    """
    command = [sys.executable, "-c", _READ_XTC, str(path)]
    ended = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if ended.returncode not in (0, 1):  # 1: an exception of Python
        raise TemporemError(
            f"cannot read {path}: it is damaged, and MDAnalysis aborts when it reads the file",
            expected="a whole XTC file",
            hint="copy it again, or write it again from the original trajectory",
        )


def _check_dcd(path: Path) -> None:
    """Refuse a DCD file that is cut off or damaged.

    MDAnalysis counts the whole snapshots that are there. That is right where the header states
    another number, as it does if it was written before the run ended. But MDAnalysis does not
    notice a file that ends inside a snapshot.

    A DCD file is a row of Fortran records, length - bytes - length: three for the header, one more
    with the free atoms if some are fixed, then a fixed number for every snapshot.
    """
    with path.open("rb") as file:
        head = file.read(100)
        for marker in ("<i", ">i", "<q", ">q"):
            width = struct.calcsize(marker)
            if head[:width] == struct.pack(marker, 84) and head[width : width + 4] == b"CORD":
                break
        else:
            raise TemporemError(f"{path} does not begin as a DCD file does", expected="coordinates")
        if len(head) < 100:
            raise _cut_off(path)
        control = struct.unpack_from(f"{marker[0]}20i", head, width + 4)
        file.seek(0)
        n_records = _count_records(file, marker, path)
    fixed_atoms, unit_cell, fourth_dimension, charmm_version = (
        bool(control[word]) for word in (8, 10, 11, 19)
    )
    each = 3 + charmm_version * (unit_cell + fourth_dimension)  # X-PLOR puts a time step there
    if n_records <= 3 + fixed_atoms or (n_records - 3 - fixed_atoms) % each:
        raise _cut_off(path)


def _count_records(file: BinaryIO, marker: str, path: Path) -> int:
    """Count Fortran records, each of which has its length before and after it."""
    width, size, count = struct.calcsize(marker), path.stat().st_size, 0
    while file.tell() < size:
        before = file.read(width)
        length = struct.unpack(marker, before)[0] if len(before) == width else -1
        if length < 0 or file.tell() + length + width > size:
            raise _cut_off(path)
        file.seek(length, os.SEEK_CUR)
        if file.read(width) != before:
            raise _cut_off(path)
        count += 1
    return count


def _cut_off(path: Path) -> TemporemError:
    return TemporemError(
        f"{path} is cut off or damaged: it does not end with a whole snapshot",
        hint="copy it again, or write the snapshots that are whole to a new file",
    )


def _describe(
    universe: Any, topology: Path, chains: Collection[str] | None, hydrogens: bool
) -> tuple[dict[str, Any], np.ndarray]:
    """Columns of a :class:`Molecule` beside name and positions, and the indices of its atoms."""
    atoms = universe.atoms
    try:
        residue_names, atom_names = atoms.resnames.astype(str), atoms.names.astype(str)
        polymer = np.zeros(len(atoms), dtype=bool)
        polymer[universe.select_atoms("protein or nucleic").indices] = True
    except AttributeError as error:
        raise TemporemError(
            f"{topology} lacks names of atoms or residues", expected="a topology that has them"
        ) from error
    # MDAnalysis knows what simulation programs call residues, gemmi modified ones.
    known = [name for name in np.unique(residue_names) if _is_polymer(name)]
    polymer |= np.isin(residue_names, known)

    names = np.array(atoms.segids, dtype=str)
    if hasattr(atoms, "chainIDs"):
        names = np.where(atoms.chainIDs.astype(str) == "", names, atoms.chainIDs.astype(str))
    names = np.where(names == "", "A", names)
    unknown = sorted(set(chains or ()) - set(names.tolist()))
    if unknown:
        raise TemporemError(
            f"{topology} has no chain {', '.join(unknown)}",
            expected=f"of {', '.join(dict.fromkeys(names.tolist()))}",
        )
    kept = np.flatnonzero(polymer if chains is None else polymer & np.isin(names, list(chains)))
    numbers = _atomic_numbers(atoms[kept], topology)
    if not hydrogens:
        kept, numbers = kept[numbers > 1], numbers[numbers > 1]
    if not (numbers > 1).any():
        raise TemporemError(
            f"{topology}: no atom left after selection", expected="a protein or a nucleic acid"
        )
    columns = {
        "atomic_numbers": torch.from_numpy(numbers),
        "chains": names[kept],
        "residue_numbers": np.asarray(atoms.resids[kept], dtype=np.int64),
        "atom_names": atom_names[kept],
    }
    return columns, kept


def _is_polymer(residue_name: str) -> bool:
    kind = gemmi.find_tabulated_residue(residue_name)
    return kind.is_amino_acid() or kind.is_nucleic_acid()


def _atomic_numbers(atoms: Any, topology: Path) -> np.ndarray:
    """Elements that the topology states, or else the elements of its masses: int64 ``(N,)``.

    MDAnalysis guesses masses from names where there are none.
    """
    if hasattr(atoms, "elements"):
        stated = [gemmi.Element(name).atomic_number for name in atoms.elements]
        if all(stated):
            return np.array(stated, dtype=np.int64)
    masses = np.asarray(atoms.masses, dtype=np.float64)
    distance = np.abs(masses[:, None] - _ATOMIC_WEIGHTS)
    nearest = distance.argmin(1)
    # Tight enough to refuse united atoms (CH2 has 14.03 u, N 14.01 u) and altered masses.
    odd = distance.min(1, initial=np.inf) > np.maximum(0.01, 1e-3 * _ATOMIC_WEIGHTS[nearest])
    if odd.any():
        atom = atoms[int(odd.argmax())]
        raise TemporemError(
            f"{topology}: the element of atom {atom.name} of residue {atom.resname} {atom.resid} "
            f"is ambiguous from its mass, {atom.mass:g} u",
            hint="use a topology that states elements, such as a PDB file",
        )
    return nearest.astype(np.int64) + 1


def superposed(snapshots: Tensor, fitted: Tensor) -> Tensor:
    """Superpose snapshots ``(S, N, 3)`` on the first, by least squares over some atoms."""
    onto = snapshots[:1, fitted].expand(len(snapshots), -1, -1)
    rotation, shift = roma.rigid_points_registration(snapshots[:, fitted], onto)
    moved = snapshots @ rotation.mT + shift[:, None]
    moved[0] = snapshots[0]  # exactly
    return moved
