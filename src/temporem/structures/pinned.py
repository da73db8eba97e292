"""Coordinates that the presets expect of the entries that they download.

The Protein Data Bank revises its files, mostly what is written about the atoms. So the atoms are
pinned, not the bytes of a file: elements and coordinates of the polymers, in any order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from temporem.errors import TemporemError

if TYPE_CHECKING:
    from temporem.structures.molecule import Molecule


@dataclass(frozen=True)
class Pin:
    """Atoms of an entry that a preset needs.

    Attributes:
        chains: chains that the preset takes; all when None.
        sha256: :func:`coordinates_sha256` of their polymers, with hydrogens.
    """

    chains: tuple[str, ...] | None
    sha256: str


PINS = {
    "7bcq": Pin(None, "51ec1711c18fe1f56e9da820b17145352b3dde4dc93fc25586ae43060fa4bacc"),
    "4cmq": Pin(("B",), "f81214c40ab5e1b786499b8c6a1dc295773897eb9fd7c906ba8c3ae5fbb91ddc"),
}
"""Pins by PDB code, in lower case.

4ZT0, which cas9-crystal needs too, has none: no deposited file was at hand.
"""


def require_pinned(path: Path, code: str) -> None:
    """Raise a TemporemError if an entry's atoms are not those that a preset was made with.

    Entries without a pin pass.
    """
    from temporem.structures.reading import read_molecule  # loads torch

    pin = PINS.get(code.lower())
    if pin is None:
        return
    found = coordinates_sha256(read_molecule(path, chains=pin.chains))
    if found != pin.sha256:
        raise TemporemError(
            f"the Protein Data Bank has other coordinates for '{code}' than the preset was made "
            f"with (SHA-256 {found[:12]}… instead of {pin.sha256[:12]}…)",
            hint="to simulate from this revision, download it and name its folder with "
            "--structures; results will differ from those published",
        )


def coordinates_sha256(molecule: Molecule) -> str:
    """Compute the SHA-256 of all elements and positions (0.001 Å), in no particular order."""
    atoms = zip(molecule.atomic_numbers.tolist(), molecule.positions_angstrom.tolist(), strict=True)
    lines = sorted(f"{number} {x:.3f} {y:.3f} {z:.3f}" for number, (x, y, z) in atoms)
    return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()
