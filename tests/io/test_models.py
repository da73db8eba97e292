"""Beads as PDB and mmCIF models: a reader finds what was written."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from temporem.errors import TemporemError
from temporem.io.bild import BildDrawing
from temporem.io.models import PDB_BEADS, fits_pdb, write_models

STATES, BEADS = 3, 40
BODIES = np.arange(BEADS) % 3
RANDOM = np.random.default_rng(0)
POSITIONS = RANDOM.uniform(0, 300, (STATES, BEADS, 3))
WEIGHTS, MOVED = RANDOM.uniform(1, 3, BEADS), RANDOM.uniform(0, 90, BEADS)


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
def test_models_are_read_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"states{suffix}"
    write_models(path, POSITIONS, BODIES, WEIGHTS, MOVED)
    structure = gemmi.read_structure(str(path))
    assert [model.num for model in structure] == [1, 2, 3]
    for model, positions in zip(structure, POSITIONS, strict=True):
        assert [chain.name for chain in model] == ["A", "B", "C"]
        for body, chain in enumerate(model):
            atoms = [residue[0] for residue in chain]
            found = np.array([atom.pos.tolist() for atom in atoms])
            its = body == BODIES
            np.testing.assert_allclose(found, positions[its], atol=6e-4)
            b_factors = [atom.b_iso for atom in atoms]
            np.testing.assert_allclose(b_factors, MOVED[its], atol=6e-3)
            occupancies = [atom.occ for atom in atoms]
            np.testing.assert_allclose(occupancies, (WEIGHTS / WEIGHTS.max())[its], atol=6e-3)
            assert all(residue.het_flag == "H" for residue in chain)


def test_more_beads_than_pdb_can_number_are_refused_and_fit_mmcif(tmp_path: Path) -> None:
    n = PDB_BEADS + 1
    positions, ones = RANDOM.uniform(0, 99, (1, n, 3)), np.ones(n)
    bodies = np.zeros(n, dtype=int)
    assert not fits_pdb(positions, bodies)
    with pytest.raises(TemporemError, match=r"PDB cannot hold 10000 beads.*write \.cif"):
        write_models(tmp_path / "a.pdb", positions, bodies, ones, ones)
    assert list(tmp_path.iterdir()) == []
    write_models(tmp_path / "a.cif", positions, bodies, ones, ones)
    (chain,) = gemmi.read_structure(str(tmp_path / "a.cif"))[0]
    assert len(chain) == n


def test_places_beyond_the_columns_of_pdb_do_not_fit() -> None:
    assert fits_pdb(POSITIONS, BODIES)
    assert not fits_pdb(POSITIONS + 9800, BODIES)


def test_bild_has_a_line_for_each_thing(tmp_path: Path) -> None:
    drawing = BildDrawing()
    drawing.comment("two\nlines")
    drawing.colour((1, 0, 0.5))
    drawing.arrow(np.zeros(3), np.array([1.0, 2, 3]), 0.2)
    drawing.cylinder(np.zeros(3), np.ones(3), 0.1)
    drawing.sphere(np.ones(3), 2.0)
    drawing.write(tmp_path / "a.bild")
    lines = (tmp_path / "a.bild").read_text().splitlines()
    assert lines == [
        ".comment two lines",
        ".color 1.000 0.000 0.500",
        ".arrow 0.000 0.000 0.000 1.000 2.000 3.000 0.200 0.500 0.70",
        ".cylinder 0.000 0.000 0.000 1.000 1.000 1.000 0.100",
        ".sphere 1.000 1.000 1.000 2.000",
    ]
