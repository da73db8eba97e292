"""The atoms of a molecule as arrays."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError

_SELECTION = re.compile(r"(?P<chain>[^/]+)/(?P<first>-?\d+)(?:-(?P<last>-?\d+))?(?:/(?P<atom>.+))?")


@dataclass(frozen=True)
class Molecule:
    """N atoms, with the names that a structure file gives them.

    Attributes:
        name: name of the structure, such as a PDB code.
        positions_angstrom: ``(N, 3)`` float64 as (x, y, z).
        atomic_numbers: ``(N,)`` int64.
        chains: chain names, ``(N,)`` str.
        residue_numbers: residue numbers as deposited, ``(N,)`` int.
        atom_names: names within the residue, such as CA, ``(N,)`` str.
    """

    name: str
    positions_angstrom: Tensor
    atomic_numbers: Tensor
    chains: np.ndarray
    residue_numbers: np.ndarray
    atom_names: np.ndarray

    @property
    def n_atoms(self) -> int:
        """Number N of atoms."""
        return len(self.atomic_numbers)

    def __len__(self) -> int:
        return self.n_atoms

    def select(self, mask: Tensor) -> Molecule:
        """Keep the atoms where ``mask (N,)`` is true."""
        kept: dict[str, Any] = {
            f.name: getattr(self, f.name)[mask if f.name in _TENSORS else mask.numpy()]
            for f in fields(self)
            if f.name != "name"
        }
        return Molecule(self.name, **kept)

    def centred(self) -> Molecule:
        """Move the mean of the atoms to the origin."""
        mean = self.positions_angstrom.mean(0)
        return replace(self, positions_angstrom=self.positions_angstrom - mean)

    def find(self, selection: str) -> Tensor:
        """Find the atoms of a selection ``CHAIN/FIRST[-LAST][/ATOM]``: bool ``(N,)``.

        ``A/47-80`` selects residues 47 to 80 of chain A, ``A/81/CA`` one atom.

        Raises:
            TemporemError: the selection cannot be read or names no atom.
        """
        match = _SELECTION.fullmatch(selection)
        if match is None:
            raise TemporemError(
                f"cannot read the selection '{selection}'",
                expected="CHAIN/FIRST[-LAST][/ATOM], such as A/47-80 or A/81/CA",
            )
        first = int(match["first"])
        last = first if match["last"] is None else int(match["last"])
        found = self.chains == match["chain"]
        found &= (self.residue_numbers >= first) & (self.residue_numbers <= last)
        if match["atom"] is not None:
            found &= self.atom_names == match["atom"]
        if not found.any():
            raise TemporemError(
                f"no atom of {self.name} matches '{selection}'", expected=self.describe_chains()
            )
        return torch.from_numpy(found)

    def gaps(self) -> list[tuple[str, int, int]]:
        """Find the residues that are missing inside chains: chain, first and last number."""
        found = []
        for chain in dict.fromkeys(self.chains.tolist()):
            numbers = np.unique(self.residue_numbers[self.chains == chain])
            for i in np.flatnonzero(np.diff(numbers) > 1):
                found.append((chain, int(numbers[i]) + 1, int(numbers[i + 1]) - 1))
        return found

    def describe_chains(self) -> str:
        """Name the chains and the range of their residues: ``chain A (47-488), ...``."""
        parts = []
        for chain in dict.fromkeys(self.chains.tolist()):
            numbers = self.residue_numbers[self.chains == chain]
            parts.append(f"{chain} ({numbers.min()}-{numbers.max()})")
        return f"chain{'s' * (len(parts) > 1)} {', '.join(parts)}"


_TENSORS = ("positions_angstrom", "atomic_numbers")
