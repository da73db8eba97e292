"""Pulled molecules: they arrive whole, at the temperature asked for, and by the seed."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.structures import two_basins as model
from temporem.structures.bonds import bonded_pairs
from temporem.structures.matching import match
from temporem.structures.molecule import Molecule
from temporem.structures.motions.base import conformations
from temporem.structures.motions.hinge import hinge_about_atoms
from temporem.structures.pulling import pull
from temporem.structures.reading import read_molecule
from temporem.structures.relaxation import distances, signed_volumes
from temporem.structures.toy import toy_molecule
from temporem.structures.wholeness import wholeness

SETTINGS = {"steps": 1500, "temperature_kelvin": 300.0}
BOLTZMANN = 0.0083144626  # kJ/mol/K


@pytest.fixture(scope="module")
def peptide() -> Molecule:
    toy = toy_molecule()
    return toy.select(toy.find("B/1-24"))


@pytest.fixture(scope="module")
def end(peptide: Molecule) -> Tensor:
    """Its second half turned by 70° about a bond."""
    hinge = hinge_about_atoms(peptide, ["B/13-24", "B/12/O"], ("B/12/CA", "B/12/C"))
    return conformations(hinge, torch.tensor([70.0], dtype=torch.float64))


@pytest.fixture(scope="module")
def pulled(peptide: Molecule, end: Tensor) -> Tensor:
    return pull(peptide, end, 30, seed=1, **SETTINGS)


def distance(conformations: Tensor, end: Tensor) -> Tensor:
    """RMSD after superposition, ``(S,)``, as a check that shares no code with the pull."""
    x, y = (c - c.mean(-2, keepdim=True) for c in (conformations, end.expand(conformations.shape)))
    singular = torch.linalg.svdvals(x.mT @ y)
    singular[:, 2] *= torch.linalg.det(x.mT @ y).sign()
    square = x.square().sum((1, 2)) + y.square().sum((1, 2)) - 2 * singular.sum(1)
    return (square / x.shape[1]).clamp(min=0).sqrt()


class TestPull:
    def test_it_goes_from_one_end_to_the_other_evenly(self, peptide, end, pulled) -> None:
        away = distance(pulled, end)
        apart = distance(peptide.positions_angstrom[None], end)
        assert apart > 3
        assert (away.diff() <= 1e-6).all()
        assert away[-1] < 1
        expected = apart * (1 - torch.arange(1, 31) / 30)
        assert (away - expected)[:20].abs().max() < 0.6

    def test_bonds_stay_and_no_atoms_clash(self, peptide, pulled) -> None:
        found = wholeness(peptide, pulled)
        assert found.worst_bond_deviation_angstrom < 0.3
        assert found.close_pairs <= 2

    def test_hands_are_kept(self, peptide, pulled) -> None:
        corners = [
            [int(peptide.find(f"B/{r}/{name}").nonzero()[0]) for name in ("CA", "N", "C", "CB")]
            for r in range(1, 25)
            if (peptide.atom_names[peptide.residue_numbers == r] == "CB").any()
        ]
        assert len(corners) > 10
        first = signed_volumes(peptide.positions_angstrom.numpy(), np.array(corners))
        for positions in pulled.numpy():
            assert (signed_volumes(positions, np.array(corners)) * first > 0).all()

    def test_bonds_vibrate_as_the_temperature_says(self, peptide, pulled) -> None:
        """½ k ⟨(r − l)²⟩ = ½ k_B T of a stiff spring, to a few percent with its neighbours'."""
        bonds = bonded_pairs(peptide, peptide.positions_angstrom.numpy())
        lengths = np.stack([distances(x, bonds) for x in pulled.numpy()])
        square = lengths.var(0, ddof=1).mean()
        assert square == pytest.approx(BOLTZMANN * 300 / model.BOND, rel=0.3)

    def test_the_seed_decides(self, peptide, end, pulled) -> None:
        calls: list[tuple[int, int]] = []
        again = pull(
            peptide, end, 30, seed=1, progress=lambda *done: calls.append(done), **SETTINGS
        )
        assert again.equal(pulled)
        assert calls == [(i + 1, 30) for i in range(30)]
        other = pull(peptide, end, 30, seed=2, **SETTINGS)
        assert not other.isclose(pulled).all()

    def test_too_few_steps_and_equal_ends_are_refused(self, peptide, end) -> None:
        with pytest.raises(TemporemError, match=r"from its end.*more steps"):
            pull(peptide, end, 1, seed=0, steps=10, temperature_kelvin=300.0)
        with pytest.raises(TemporemError, match="both ends of the pull are the same"):
            pull(peptide, peptide.positions_angstrom, 3, seed=0, **SETTINGS)

    def test_without_openmm_the_extra_is_named(self, peptide, end, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "openmm", None)
        with pytest.raises(TemporemError, match=r"OpenMM.*pip install 'temporem\[md\]'"):
            pull(peptide, end, 3, seed=0, **SETTINGS)


@pytest.fixture(scope="module")
def terms(peptide: Molecule, end: Tensor) -> model.TwoBasins:
    ends = np.stack([peptide.positions_angstrom.numpy(), end.numpy()])
    return model.two_basins(peptide, ends)


class TestModel:
    def test_both_ends_are_at_rest(self, peptide, end, terms) -> None:
        for i, x in enumerate((peptide.positions_angstrom.numpy(), end.numpy())):
            np.testing.assert_allclose(distances(x, terms.springs), terms.lengths[:, i])
            there = terms.contacts.weights[:, i] > 0
            found = distances(x, terms.contacts.pairs)[there]
            np.testing.assert_allclose(found, terms.contacts.lengths[there, i])
            off = model.dihedral_angles(x, terms.impropers) - terms.dihedrals
            assert np.cos(off).min() > 0.99

    def test_peptide_planes_are_held_as_stiffly_as_angles(self, peptide, terms) -> None:
        alphas = np.flatnonzero(peptide.atom_names == "CA")
        wanted = {tuple(pair) for pair in np.stack([alphas[:-1], alphas[1:]], axis=1).tolist()}
        held = terms.springs[terms.stiffness == model.ANGLE].tolist()
        assert wanted <= {tuple(pair) for pair in held}

    def test_contacts_are_those_of_either_end_and_not_of_bonded_atoms(
        self, peptide, end, terms
    ) -> None:
        def near(x: np.ndarray) -> set[tuple[int, int]]:
            every = np.stack(np.triu_indices(len(x), 1), axis=1)
            found = every[distances(x, every) < 4.5]
            return {tuple(p) for p in found.tolist()} - {tuple(p) for p in terms.excluded.tolist()}

        pairs = [tuple(p) for p in terms.contacts.pairs.tolist()]
        first, last = (near(x) for x in (peptide.positions_angstrom.numpy(), end.numpy()))
        assert set(pairs) == first | last
        there = terms.contacts.weights > 0
        assert {p for p, w in zip(pairs, there, strict=True) if w.all()} <= first | last
        assert {p for p, w in zip(pairs, there, strict=True) if w[0] and not w[1]} <= first
        assert {p for p, w in zip(pairs, there, strict=True) if w[1] and not w[0]} <= last
        assert there.any(0).all()
        assert not there.all()

    def test_dihedral_angles_follow_iupac(self) -> None:
        for angle in (-120.0, -30.0, 60.0, 170.0):
            a = np.deg2rad(angle)
            # Seen along the middle bond, z, the last bond is turned clockwise from the first.
            last = [np.cos(a), np.sin(a), 1.0]
            points = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], last])
            (found,) = model.dihedral_angles(points, np.array([[0, 1, 2, 3]]))
            assert np.rad2deg(found) == pytest.approx(angle)


def test_wholeness_sees_a_bond_that_breaks_and_atoms_that_meet(peptide: Molecule) -> None:
    still = peptide.positions_angstrom.repeat(4, 1, 1)
    sound = wholeness(peptide, still)
    assert sound.worst_bond_deviation_angstrom < 1e-9
    broken = still.clone()
    broken[2, peptide.find("B/13-24")] += 8.0
    assert wholeness(peptide, broken).worst_bond_deviation_angstrom > 2
    met = still.clone()
    met[1, peptide.find("B/24/CA")] = met[1, peptide.find("B/1/CA")][0] + 0.5
    assert wholeness(peptide, met).close_pairs > sound.close_pairs


@pytest.mark.slow
def test_cas9_is_pulled_from_free_to_bound_whole() -> None:
    """The path of preset cas9-md."""
    start, last = (
        read_molecule(SHARED / f"structures/cas9_{name}_model.pdb", hydrogens=False)
        for name in ("apo_4cmq_B", "bound_4zt0_C")
    )
    molecule, end = match(start, last)
    path = pull(molecule, end, 190, seed=0, steps=15_000, temperature_kelvin=300.0)
    away, found = distance(path, end), wholeness(molecule, path)
    print(away[[0, -1]], found)
    assert away[0] > 29
    assert away[-1] < 1.5
    assert found.worst_bond_deviation_angstrom < 0.35
    assert found.close_pairs <= 16  # those of the two ends
