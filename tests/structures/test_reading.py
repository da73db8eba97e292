"""Molecules from files: what is kept, and what is said about bad files."""

import gzip
import os
from pathlib import Path

import pytest

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.structures.reading import read_molecule

# Two residues of chain A with alternative locations, a hydrogen and a terminus; a residue of chain
# B that is modelled as two kinds; a ligand and a water.
PDB = """\
ATOM      1  N   ALA A  10      11.000   0.000   0.000  1.00 10.00           N
ATOM      2  CA AALA A  10      12.000   0.000   0.000  0.30 10.00           C
ATOM      3  CA BALA A  10      12.000   5.000   0.000  0.70 10.00           C
ATOM      4  C   ALA A  10      13.000   0.000   0.000  1.00 10.00           C
ATOM      5  O   ALA A  10      13.000   1.000   0.000  1.00 10.00           O
ATOM      6  H   ALA A  10      11.000   1.000   0.000  1.00 10.00           H
ATOM      7  N   GLY A  11      14.000   0.000   0.000  1.00 10.00           N
ATOM      8  CA AGLY A  11      15.000   0.000   0.000  0.50 10.00           C
ATOM      9  CA BGLY A  11      15.000   5.000   0.000  0.50 10.00           C
ATOM     10  C   GLY A  11      16.000   0.000   0.000  1.00 10.00           C
ATOM     11  O   GLY A  11      16.000   1.000   0.000  1.00 10.00           O
TER      12      GLY A  11
ATOM     13  CA ASER B   5      20.000   0.000   0.000  0.40 10.00           C
ATOM     14  OG ASER B   5      20.000   1.000   0.000  0.40 10.00           O
ATOM     15  CA BCYS B   5      21.000   0.000   0.000  0.60 10.00           C
ATOM     16  SG BCYS B   5      21.000   1.000   0.000  0.60 10.00           S
TER      17      CYS B   5
HETATM   18 ZN    ZN A 101      30.000   0.000   0.000  1.00 10.00          ZN
HETATM   19  O   HOH A 201      40.000   0.000   0.000  1.00 10.00           O
END
"""


@pytest.fixture
def pdb(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pdb"
    path.write_text(PDB)
    return path


def test_default_keeps_polymers_with_hydrogens(pdb: Path) -> None:
    molecule = read_molecule(pdb)
    assert molecule.name == "tiny"
    assert molecule.atom_names.tolist() == [
        *["N", "CA", "C", "O", "H"],
        *["N", "CA", "C", "O"],
        *["CA", "SG"],
    ]
    assert molecule.atomic_numbers.tolist() == [7, 6, 6, 8, 1, 7, 6, 6, 8, 6, 16]
    assert molecule.chains.tolist() == ["A"] * 9 + ["B"] * 2
    assert molecule.residue_numbers.tolist() == [10] * 5 + [11] * 4 + [5] * 2
    assert molecule.positions_angstrom[0].tolist() == [11.0, 0.0, 0.0]


def test_alternative_location_of_highest_occupancy_wins_and_first_of_equals(pdb: Path) -> None:
    molecule = read_molecule(pdb)
    alphas = molecule.positions_angstrom[molecule.find("A/10-11/CA")]
    assert alphas[:, 1].tolist() == [5.0, 0.0]


def test_hydrogens_waters_hetero(pdb: Path) -> None:
    n = len(read_molecule(pdb))
    assert len(read_molecule(pdb, hydrogens=False)) == n - 1
    assert len(read_molecule(pdb, waters=True)) == n + 1
    with_zinc = read_molecule(pdb, hetero=True)
    assert len(with_zinc) == n + 1
    assert 30 in with_zinc.atomic_numbers


def test_chains_are_chosen_by_name(pdb: Path) -> None:
    assert set(read_molecule(pdb, chains=["B"]).chains) == {"B"}


def test_gzipped_file_is_the_same(pdb: Path, tmp_path: Path) -> None:
    zipped = tmp_path / "tiny.pdb.gz"
    zipped.write_bytes(gzip.compress(PDB.encode()))
    plain, same = read_molecule(pdb), read_molecule(zipped)
    assert plain.positions_angstrom.equal(same.positions_angstrom)
    assert same.name == "tiny"


def test_simulation_program_pdb_without_chains_and_elements() -> None:
    molecule = read_molecule(SHARED / "structures" / "adk" / "adk_closed.pdb")
    assert set(molecule.chains) == {"4AKE"}
    assert set(molecule.atomic_numbers.tolist()) == {1, 6, 7, 8, 16}
    assert len(molecule) == 3341
    assert len(read_molecule(SHARED / "structures" / "adk" / "adk_closed.pdb", hydrogens=False)) < (
        0.55 * 3341
    )


def test_mmcif_chains_have_the_authors_names_and_no_water() -> None:
    molecule = read_molecule(SHARED / "structures" / "4CMQ.cif", chains=["B"])
    assert set(molecule.chains) == {"B"}
    assert set(molecule.atomic_numbers.tolist()) == {6, 7, 8, 16}
    assert molecule.residue_numbers.min() == 4


def test_7bcq_is_the_trimer_as_deposited_without_its_ligands() -> None:
    molecule = read_molecule(SHARED / "structures" / "7bcq.pdb")
    assert len(molecule) == 20160 - 3 * 23
    assert [int((molecule.chains == chain).sum()) for chain in "ABC"] == [6697] * 3
    assert int((molecule.atomic_numbers == 1).sum()) == 10299


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, {}, "no structure file"),
        ("", {}, "holds no atoms"),
        ("data_x\n_a.b 1\n", {}, "holds no atoms"),
        (PDB, {"chains": ["A", "Q"]}, "has no chain Q; expected of A, B"),
        (PDB.replace("11.000   0.000 ", "   NaN   0.000 "), {}, "without coordinates"),
        (PDB[PDB.index("HETATM") :], {}, "no atom left"),
    ],
)
def test_bad_file_is_one_clear_error(
    tmp_path: Path, content: str | None, arguments: dict, message: str
) -> None:
    path = tmp_path / ("bad.cif" if content and content.startswith("data_") else "bad.pdb")
    if content is not None:
        path.write_text(content)
    with pytest.raises(TemporemError, match=message) as error:
        read_molecule(path, **arguments)
    assert "\n" not in str(error.value)


def test_file_that_cannot_be_parsed(tmp_path: Path) -> None:
    path = tmp_path / "bad.cif"
    path.write_bytes(b"\x89PNG not a structure")
    with pytest.raises(TemporemError, match="cannot read"):
        read_molecule(path)
    (tmp_path / "bad.pdb.gz").write_bytes(gzip.compress(PDB.encode())[:60])
    with pytest.raises(TemporemError, match=r"bad\.pdb\.gz"):
        read_molecule(tmp_path / "bad.pdb.gz")


@pytest.mark.parametrize(
    "columns",
    [(12, 16), (17, 20), (21, 22), (16, 17)],
    ids=["atom", "residue", "chain", "location"],
)
def test_names_that_are_not_utf8_are_refused_in_one_line(
    tmp_path: Path, columns: tuple[int, int]
) -> None:
    start, end = columns
    first, rest = PDB.encode().split(b"\n", 1)
    path = tmp_path / "latin1.pdb"
    path.write_bytes(first[:start] + b"\xe9" * (end - start) + first[end:] + b"\n" + rest)
    with pytest.raises(TemporemError, match=r"latin1\.pdb has names .* not UTF-8") as error:
        read_molecule(path)
    assert "\n" not in str(error.value)


def test_remarks_may_be_in_any_encoding(tmp_path: Path) -> None:
    (tmp_path / "latin1.pdb").write_bytes(b"REMARK caf\xe9\n" + PDB.encode())
    assert len(read_molecule(tmp_path / "latin1.pdb")) == 11


def test_file_whose_name_is_not_utf8_is_refused_in_one_line(pdb: Path) -> None:
    path = pdb.rename(pdb.with_name(os.fsdecode(b"\xe9.pdb")))
    with pytest.raises(TemporemError, match="is not UTF-8; rename it, or name a link"):
        read_molecule(path)


@pytest.mark.parametrize(
    ("selection", "message"),
    [("A", "cannot read the selection"), ("A/x", "cannot read"), ("C/10", "chains A .10-11., B")],
)
def test_bad_selection_is_explained(pdb: Path, selection: str, message: str) -> None:
    with pytest.raises(TemporemError, match=message):
        read_molecule(pdb).find(selection)


COPIES = """\
ATOM      1  CA  ALA     1      11.000   0.000   0.000  1.00 10.00      {one} C
ATOM      2  CA  GLY     2      12.000   0.000   0.000  1.00 10.00      {one} C
{between}
ATOM      3  CA  ALA     1      31.000   0.000   0.000  1.00 10.00      {two} C
ATOM      4  CA  GLY     2      32.000   0.000   0.000  1.00 10.00      {two} C
HETATM    5  O   HOH     2      40.000   0.000   0.000  2.00 10.00      {two} O
END
"""


@pytest.mark.parametrize("between", ["REMARK", "TER"])
def test_chains_without_names_go_by_their_segments(between: str, tmp_path: Path) -> None:
    """As simulation programs write them; a water with a residue's number is no other kind of it."""
    path = tmp_path / "copies.pdb"
    path.write_text(COPIES.format(one="PROA", two="PROB", between=between))
    molecule = read_molecule(path)
    assert molecule.positions_angstrom[:, 0].tolist() == [11.0, 12.0, 31.0, 32.0]
    assert molecule.chains.tolist() == ["PROA"] * 2 + ["PROB"] * 2
    assert len(read_molecule(path, chains=["PROB"])) == 2


@pytest.mark.parametrize("between", ["REMARK", "TER"])
def test_copies_that_nothing_tells_apart_are_refused(between: str, tmp_path: Path) -> None:
    """Or half of the atoms would be missing without a word."""
    path = tmp_path / "copies.pdb"
    path.write_text(COPIES.format(one="    ", two="    ", between=between))
    with pytest.raises(TemporemError, match=r"residue 1 of chain A has 2 atoms CA at one position"):
        read_molecule(path)
