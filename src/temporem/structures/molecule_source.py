"""Source of the molecule of a simulation, and of further files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from temporem.structures.molecule import Molecule
from temporem.structures.reading import read_molecule
from temporem.structures.sources import BUILT_IN, find_structure
from temporem.structures.toy import toy_molecule


@dataclass(frozen=True)
class MoleculeSource:
    """Reads the molecule that a simulation names, and further files of it.

    Attributes:
        structure: file or PDB code of the molecule, or ``toy``, the built-in protein.
        chains: chains to keep; all when None.
        hydrogens: keep hydrogens, where there are any.
        folder: searched first for files.
    """

    structure: str
    chains: Collection[str] | None = None
    hydrogens: bool = True
    folder: str | Path | None = None

    def molecule(self) -> Molecule:
        """Read the molecule, and move the mean of its atoms to the origin."""
        if self.structure == BUILT_IN:
            return toy_molecule().centred()
        return self.read(self.structure, self.chains).centred()

    def read(self, name: str, chains: Collection[str] | None = None) -> Molecule:
        """Read a structure with its coordinates as in the file."""
        return read_molecule(self.path(name), chains=chains, hydrogens=self.hydrogens)

    def path(self, name: str) -> Path:
        """Find the file of a structure or trajectory."""
        return find_structure(name, self.folder)
