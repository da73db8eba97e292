"""Two structures of one molecule: which atoms they share, and where the second is."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.physics.rotations import rotation_about_axis
from temporem.structures.matching import match
from temporem.structures.molecule import Molecule
from temporem.structures.toy import toy_molecule


@pytest.fixture(scope="module")
def toy() -> Molecule:
    return toy_molecule()


def turned(molecule: Molecule) -> Molecule:
    axis = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    turn = rotation_about_axis(axis, torch.tensor(2.0, dtype=torch.float64))
    return replace(molecule, positions_angstrom=molecule.positions_angstrom @ turn.T + 30)


def without(molecule: Molecule, selection: str) -> Molecule:
    return molecule.select(~molecule.find(selection))


def test_the_second_is_superposed_whatever_its_order_and_chain_names(toy: Molecule) -> None:
    backwards = torch.arange(len(toy)).flip(0)
    chain_a = turned(without(toy, "B/1-48"))
    other = Molecule(
        "other",
        chain_a.positions_angstrom.flip(0),
        chain_a.atomic_numbers.flip(0),
        np.full(len(chain_a), "Z"),
        chain_a.residue_numbers[::-1].copy(),
        chain_a.atom_names[::-1].copy(),
    )
    assert len(backwards) > len(other)
    molecule, positions = match(without(toy, "B/1-48"), other)
    assert len(molecule) == len(other)
    assert (positions - molecule.positions_angstrom).abs().max() < 1e-9


def test_what_only_one_has_is_left_out(toy: Molecule) -> None:
    first = without(toy, "A/100-109")
    second = turned(without(without(toy, "A/50-54"), "B/3/CB"))
    molecule, positions = match(first, second)
    for selection in ("A/100-109", "A/50-54", "B/3/CB"):
        with pytest.raises(TemporemError, match="no atom"):
            molecule.find(selection)
    assert (positions - molecule.positions_angstrom).abs().max() < 1e-9
    assert molecule.gaps() == [("A", 50, 54), ("A", 100, 109)]
    assert toy.gaps() == []


def test_chains_are_paired_in_their_order(toy: Molecule) -> None:
    renamed = replace(turned(toy), chains=np.where(toy.chains == "A", "B", "A"))
    molecule, positions = match(toy, renamed)
    assert len(molecule) == len(toy)
    assert (positions - toy.positions_angstrom).abs().max() < 1e-9


def test_other_molecules_are_refused(toy: Molecule) -> None:
    with pytest.raises(TemporemError, match=r"toy has chains A \(.*\), B .*; expected as many"):
        match(toy, without(toy, "B/1-48"))
    shifted = replace(toy, residue_numbers=toy.residue_numbers + 1)
    message = r"share \d+ of the \d+ atoms of residues with the same number"
    with pytest.raises(TemporemError, match=message) as error:
        match(toy, shifted)
    assert re.search("renumber", str(error.value))
    with pytest.raises(TemporemError, match="share 0 of the 0"):
        match(toy, replace(toy, residue_numbers=toy.residue_numbers + 5000))


def test_residues_with_one_number_are_refused(toy: Molecule) -> None:
    """Insertion codes, 52 and 52A, are not told apart."""
    numbers = toy.residue_numbers.copy()
    numbers[(toy.chains == "A") & (numbers == 6)] = 5
    twice = replace(toy, residue_numbers=numbers)
    for pair in ((toy, twice), (twice, toy)):
        with pytest.raises(TemporemError, match=r"residue 5 of chain A has 2 atoms .* renumber"):
            match(*pair)
