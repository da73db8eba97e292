"""Coordinates that presets expect of downloaded entries."""

import gzip
from dataclasses import replace
from pathlib import Path

import gemmi
import pytest

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.structures.pinned import PINS, coordinates_sha256, require_pinned
from temporem.structures.reading import read_molecule

FILES = {"7bcq": SHARED / "structures" / "7bcq.pdb", "4cmq": SHARED / "structures" / "4CMQ.cif"}


@pytest.mark.parametrize("code", FILES)
def test_deposited_files_have_the_pinned_coordinates(code: str) -> None:
    require_pinned(FILES[code], code)


def test_every_pin_has_a_file_that_checks_it() -> None:
    assert set(PINS) == set(FILES)


def test_text_may_be_revised_but_no_atom_moved(tmp_path: Path) -> None:
    structure = gemmi.read_structure(str(FILES["4cmq"]))
    structure.info["_struct.title"] = "a revised title"
    revised = tmp_path / "4cmq.cif.gz"
    revised.write_bytes(gzip.compress(structure.make_mmcif_document().as_string().encode()))
    require_pinned(revised, "4CMQ")

    for chain in structure[0]:
        if chain.name == "B":
            chain[0][0].pos.x += 0.01
    revised.write_bytes(gzip.compress(structure.make_mmcif_document().as_string().encode()))
    with pytest.raises(TemporemError, match=r"other coordinates for '4CMQ'.*--structures"):
        require_pinned(revised, "4CMQ")


def test_the_order_of_atoms_does_not_matter() -> None:
    molecule = read_molecule(FILES["4cmq"], chains="B")
    turned = replace(
        molecule,
        positions_angstrom=molecule.positions_angstrom.flip(0),
        atomic_numbers=molecule.atomic_numbers.flip(0),
    )
    assert coordinates_sha256(turned) == coordinates_sha256(molecule)
