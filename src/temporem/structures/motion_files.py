"""Motions on disk: ``molecule.npz`` and ``motion.npz``, exact and without pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.io.npz import NpzFile
from temporem.structures.molecule import Molecule
from temporem.structures.motions import MOTIONS
from temporem.structures.motions.base import Motion

_MOLECULE_FILE, _MOTION_FILE = "molecule.npz", "motion.npz"
_LAST_ELEMENT = 98  # with a known form factor
_HINT = "simulate the data again"


def write_motion(directory: Path, kind: str, motion: Motion) -> None:
    """Write a motion of a registered kind, with its molecule, into a folder."""
    m = motion.molecule
    np.savez_compressed(
        directory / _MOLECULE_FILE,
        name=np.array(m.name),
        positions_angstrom=m.positions_angstrom.numpy(),
        atomic_numbers=m.atomic_numbers.numpy(),
        chains=m.chains,
        residue_numbers=m.residue_numbers,
        atom_names=m.atom_names,
    )
    arrays = {"kind": np.array(kind), **motion.arrays()}
    np.savez_compressed(directory / _MOTION_FILE, **arrays)  # type: ignore[arg-type]


def read_motion(directory: Path) -> Motion:
    """Read what :func:`write_motion` wrote.

    Raises:
        TemporemError: a file is missing or damaged, or no motion of its kind is registered.
    """
    molecule = _molecule(_file(directory / _MOLECULE_FILE))
    arrays = _file(directory / _MOTION_FILE)
    kind = str(arrays.take("kind", "U"))
    if kind not in MOTIONS:
        raise TemporemError(
            f"{arrays.path} holds a motion of kind '{kind}', which this version does not know",
            expected=f"one of {', '.join(MOTIONS)}",
            hint=_HINT,
        )
    return MOTIONS[kind].read(molecule, arrays)


def _file(path: Path) -> NpzFile:
    return NpzFile(path, what="the truth of a simulated dataset", hint=_HINT)


def _molecule(arrays: NpzFile) -> Molecule:
    positions = torch.from_numpy(arrays.numbers("positions_angstrom", "f8", None, 3))
    n = len(positions)
    numbers = torch.from_numpy(arrays.numbers("atomic_numbers", "i8", n))
    if n == 0 or numbers.min() < 1 or numbers.max() > _LAST_ELEMENT:
        found = f"{numbers.min()} to {numbers.max()}" if n else "empty"
        raise arrays.refusal("atomic_numbers", found, f"numbers from 1 to {_LAST_ELEMENT}")
    return Molecule(
        name=str(arrays.take("name", "U")),
        positions_angstrom=positions,
        atomic_numbers=numbers,
        chains=arrays.take("chains", "U", n),
        residue_numbers=arrays.numbers("residue_numbers", "i8", n),
        atom_names=arrays.take("atom_names", "U", n),
    )
