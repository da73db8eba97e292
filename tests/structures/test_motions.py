"""Hinges turn rigidly by the stated angle, and motions survive the disk to the last bit."""

import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from temporem.errors import TemporemError
from temporem.structures.molecule import Molecule
from temporem.structures.motions import (
    Hinge,
    conformations,
    hinge_about_atoms,
    read_motion,
    trajectory_through,
    write_motion,
)


def line_of_atoms() -> Molecule:
    """Six carbons: four on the x axis, one on z above the origin, one far off in chain B."""
    positions = [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [0, 0, 1], [5, 5, 5]]
    return Molecule(
        name="line",
        positions_angstrom=torch.tensor(positions, dtype=torch.float64),
        atomic_numbers=torch.full((6,), 6),
        chains=np.array(list("AAAAAB")),
        residue_numbers=np.array([1, 2, 3, 4, 5, 1]),
        atom_names=np.array(["CA"] * 6),
    )


@pytest.fixture
def hinge() -> Hinge:
    """Residues 2-4 turn about the line from the origin along +z."""
    return hinge_about_atoms(line_of_atoms(), ["A/2-4"], ("A/1/CA", "A/5/CA"))


def test_quarter_turn_about_z_takes_x_to_y(hinge: Hinge) -> None:
    moved = hinge.positions(torch.tensor([90.0]))
    expected = torch.tensor([[0, 1, 0], [0, 2, 0], [0, 3, 0]], dtype=torch.float64)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


def test_other_direction_of_the_axis_turns_the_other_way() -> None:
    reverse = hinge_about_atoms(line_of_atoms(), ["A/2-4"], ("A/5/CA", "A/1/CA"))
    assert reverse.positions(torch.tensor([90.0]))[0].tolist() == pytest.approx([0, -1, 0])


@given(st.floats(-720, 720))
def test_turn_is_rigid_and_by_the_stated_angle(degrees: float) -> None:
    generator = torch.Generator().manual_seed(0)
    molecule = line_of_atoms()
    positions = torch.randn(6, 3, generator=generator, dtype=torch.float64) * 20
    molecule = Molecule(**{**vars(molecule), "positions_angstrom": positions})
    hinge = hinge_about_atoms(molecule, ["A/2-4"], ("A/1/CA", "B/1/CA"))
    before, after = (hinge.positions(torch.tensor([a])) for a in (0.0, degrees))
    torch.testing.assert_close(before, positions[1:4], rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.pdist(after), torch.pdist(before), rtol=1e-10, atol=1e-10)
    # Distances to the axis's atoms stay, and the angle seen along the axis is the one asked for.
    torch.testing.assert_close(
        torch.cdist(after, positions[[0, 5]]), torch.cdist(before, positions[[0, 5]])
    )
    axis = hinge.axis_direction
    flat = [
        p - hinge.axis_point - ((p - hinge.axis_point) @ axis)[:, None] * axis
        for p in (before, after)
    ]
    sine = torch.linalg.cross(*flat) @ axis
    cosine = (flat[0] * flat[1]).sum(-1)
    turned = torch.atan2(sine, cosine) - math.radians(degrees)
    assert turned.sin().abs().max() < 1e-6
    assert turned.cos().min() > 0


def test_conformations_move_only_the_moving_atoms(hinge: Hinge) -> None:
    angles = torch.tensor([[[0.0], [30.0]], [[60.0], [90.0]]])
    atoms = conformations(hinge, angles)
    assert atoms.shape == (2, 2, 6, 3)
    original = hinge.molecule.positions_angstrom
    assert atoms[..., ~hinge.moving, :].equal(original[~hinge.moving].expand(2, 2, -1, -1))
    assert atoms[1, 0][hinge.moving].equal(hinge.positions(angles[1, 0]))
    assert (atoms[1, 1] - original)[hinge.moving].norm(dim=-1).min() > 1


def test_motion_is_read_back_exactly(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, hinge)
    back = read_motion(tmp_path)
    assert isinstance(back, Hinge)
    for name in ("moving", "axis_point", "axis_direction"):
        assert getattr(back, name).equal(getattr(hinge, name))
    assert back.molecule.name == "line"
    assert back.molecule.positions_angstrom.equal(hinge.molecule.positions_angstrom)
    assert back.molecule.atomic_numbers.equal(hinge.molecule.atomic_numbers)
    for name in ("chains", "residue_numbers", "atom_names"):
        np.testing.assert_array_equal(getattr(back.molecule, name), getattr(hinge.molecule, name))
    angle = torch.tensor([33.3], dtype=torch.float64)
    assert back.positions(angle).equal(hinge.positions(angle))


@pytest.mark.parametrize(
    ("moving", "axis", "message"),
    [
        (["A/2-4"], ("A/1-2/CA", "A/5/CA"), "matches 2 atoms"),
        (["A/2-4"], ("A/1/CA", "A/1/CA"), "the same point"),
        (["Z/1"], ("A/1/CA", "A/5/CA"), "no atom of line matches 'Z/1'"),
        (["A/2-4"], ("A/1/CB", "A/5/CA"), "no atom of line matches 'A/1/CB'"),
    ],
)
def test_bad_hinge(moving: list[str], axis: tuple[str, str], message: str) -> None:
    with pytest.raises(TemporemError, match=message):
        hinge_about_atoms(line_of_atoms(), moving, axis)


def test_unknown_or_missing_motion_files(hinge: Hinge, tmp_path: Path) -> None:
    with pytest.raises(TemporemError, match=r"no file .*molecule\.npz"):
        read_motion(tmp_path)
    write_motion(tmp_path, hinge)
    np.savez(tmp_path / "motion.npz", kind=np.array("teleport"))
    with pytest.raises(TemporemError, match="teleport"):
        read_motion(tmp_path)
    (tmp_path / "motion.npz").write_bytes(b"not a zip")
    with pytest.raises(TemporemError, match=r"cannot read .*motion\.npz"):
        read_motion(tmp_path)


def test_pickled_objects_are_refused(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, hinge)
    np.savez(tmp_path / "motion.npz", kind=np.array([{"a": 1}], dtype=object))
    with pytest.raises(TemporemError, match=r"cannot read .*motion\.npz"):
        read_motion(tmp_path)


BAD_ARRAYS = {
    "short positions": ("molecule", "positions_angstrom", np.zeros((5, 3)), "atomic_numbers"),
    "flat positions": ("molecule", "positions_angstrom", np.zeros((6, 2)), "any number x 3"),
    "infinite": ("molecule", "positions_angstrom", np.full((6, 3), np.inf), "finite numbers"),
    "atomic number 300": ("molecule", "atomic_numbers", np.full(6, 300), "300 to 300"),
    "atomic number -1": ("molecule", "atomic_numbers", np.full(6, -1), "numbers from 1 to"),
    "few names": ("molecule", "atom_names", np.array(["CA"]), "of shape 6"),
    "axis of two": ("motion", "axis_point", np.zeros(2), "float64 of shape 3"),
    "moving of others": ("motion", "moving", np.zeros(5, bool), "bool of shape 6"),
    "moving in numbers": ("motion", "moving", np.zeros(6), "bool of shape 6"),
    "unknown kind": ("motion", "kind", np.array("teleport"), "hinge or trajectory"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_do_not_fit_are_named(case: str, hinge: Hinge, tmp_path: Path) -> None:
    file, name, array, message = BAD_ARRAYS[case]
    write_motion(tmp_path, hinge)
    path = tmp_path / f"{file}.npz"
    np.savez(path, **{**np.load(path), name: array})
    with pytest.raises(TemporemError, match=message) as caught:
        read_motion(tmp_path)
    assert str(path) in str(caught.value)


def test_arrays_in_the_other_byte_order_are_read(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, hinge)
    path = tmp_path / "motion.npz"
    np.savez(path, **{**np.load(path), "axis_point": hinge.axis_point.numpy().astype(">f8")})
    assert read_motion(tmp_path).axis_point.equal(hinge.axis_point)


def test_what_is_no_npz_file_is_never_to_be_loaded_unsafely(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, hinge)
    np.save(tmp_path / "array.npy", np.zeros(3))
    for content in (b"text", (tmp_path / "array.npy").read_bytes()):
        (tmp_path / "motion.npz").write_bytes(content)
        with pytest.raises(TemporemError, match=r"cannot read .*motion\.npz") as caught:
            read_motion(tmp_path)
        assert "pickle" not in str(caught.value)


def test_cut_file_is_refused(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, hinge)
    path = tmp_path / "molecule.npz"
    assert zipfile.is_zipfile(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TemporemError, match=r"cannot read .*molecule\.npz"):
        read_motion(tmp_path)


def snapshots(*z: float) -> torch.Tensor:
    """The line of atoms, of which the atom of chain B stands still and the rest rises to ``z``."""
    positions = line_of_atoms().positions_angstrom.expand(len(z), -1, -1).clone()
    positions[:, :5, 2] += torch.tensor(z, dtype=torch.float64)[:, None]
    return positions


def test_progress_is_length_of_path_and_positions_lie_on_lines_between_snapshots() -> None:
    motion = trajectory_through(line_of_atoms(), snapshots(0, 1, 4, 4, 3))
    assert motion.parameter_names == ("progress",)
    assert motion.moving.tolist() == [True] * 5 + [False]
    assert motion.progress.tolist() == pytest.approx([0, 0.2, 0.8, 0.8, 1], abs=1e-7)
    progress = torch.tensor([[[0.0], [0.1], [0.5]], [[0.8], [0.9], [1.0]]], dtype=torch.float64)
    atoms = conformations(motion, progress)
    assert atoms.shape == (2, 3, 6, 3)
    assert atoms[..., 0, 2].flatten().tolist() == pytest.approx([0, 0.5, 2.5, 4, 3.5, 3], abs=1e-6)
    assert atoms[..., 5, 2].unique().tolist() == [5]
    assert atoms[0, 0].equal(motion.molecule.positions_angstrom)


def test_progress_can_count_snapshots_instead() -> None:
    motion = trajectory_through(line_of_atoms(), snapshots(0, 1, 4, 4, 3), evenly=True)
    assert motion.progress.tolist() == [0, 0.25, 0.5, 0.75, 1]
    at = motion.positions(motion.progress[:, None])
    assert at.equal(snapshots(0, 1, 4, 4, 3)[:, motion.moving].float().double())


def test_beyond_the_ends_of_a_trajectory_the_molecule_stays() -> None:
    motion = trajectory_through(line_of_atoms(), snapshots(0, 1, 1))
    beyond = motion.positions(torch.tensor([[-0.5], [1.5]]))
    assert beyond.equal(motion.positions(torch.tensor([[0.0], [1.0]])))
    assert beyond[:, 0, 2].tolist() == [0, 1]


def test_trajectory_is_read_back_exactly(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    path = torch.randn(4, 6, 3, generator=generator, dtype=torch.float64)
    motion = trajectory_through(line_of_atoms(), path)
    write_motion(tmp_path, motion)
    back = read_motion(tmp_path)
    assert type(back) is type(motion)
    progress = torch.rand(7, 1, generator=generator, dtype=torch.float64)
    assert conformations(back, progress).equal(conformations(motion, progress))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ((0,), r"has 1 snapshot\(s\); expected two or more"),
        ((2, 2, 2), "are all the same"),
        ((0, 1, 9, 10), "snapshots 2 and 3 of line are 8.0 Å apart"),
    ],
)
def test_bad_trajectory(path: tuple[float, ...], message: str) -> None:
    with pytest.raises(TemporemError, match=message):
        trajectory_through(line_of_atoms(), snapshots(*path))


@pytest.mark.parametrize("header", [b"(", b"{1:2,'a':3}", b"{[]:1}"])
def test_header_that_is_no_dictionary_of_numpy_is_refused(
    header: bytes, hinge: Hinge, tmp_path: Path
) -> None:
    write_motion(tmp_path, hinge)
    text = header.ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(tmp_path / "motion.npz", "w") as archive:
        archive.writestr("axis_point.npy", array)
    with pytest.raises(TemporemError, match=r"cannot read .*motion\.npz"):
        read_motion(tmp_path)
