"""Motions survive the disk to the last bit, and bad files are refused."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.atoms import line_of_atoms
from temporem.errors import TemporemError
from temporem.structures.motion_files import read_motion, write_motion
from temporem.structures.motions.base import conformations
from temporem.structures.motions.hinge import Hinge, hinge_about_atoms
from temporem.structures.snapshot_path import path_through


@pytest.fixture
def hinge() -> Hinge:
    """Residues 2-4 turn about the line from the origin along +z."""
    return hinge_about_atoms(line_of_atoms(), ["A/2-4"], ("A/1/CA", "A/5/CA"))


def test_motion_is_read_back_exactly(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, "hinge", hinge)
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


def test_unknown_or_missing_motion_files(hinge: Hinge, tmp_path: Path) -> None:
    with pytest.raises(TemporemError, match=r"no file .*molecule\.npz"):
        read_motion(tmp_path)
    write_motion(tmp_path, "hinge", hinge)
    np.savez(tmp_path / "motion.npz", kind=np.array("teleport"))
    with pytest.raises(TemporemError, match="teleport"):
        read_motion(tmp_path)
    (tmp_path / "motion.npz").write_bytes(b"not a zip")
    with pytest.raises(TemporemError, match=r"cannot read .*motion\.npz"):
        read_motion(tmp_path)


def test_pickled_objects_are_refused(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, "hinge", hinge)
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
    "unknown kind": (
        "motion",
        "kind",
        np.array("teleport"),
        "one of hinge, morph, pulled, trajectory",
    ),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_do_not_fit_are_named(case: str, hinge: Hinge, tmp_path: Path) -> None:
    file, name, array, message = BAD_ARRAYS[case]
    write_motion(tmp_path, "hinge", hinge)
    path = tmp_path / f"{file}.npz"
    np.savez(path, **{**np.load(path), name: array})
    with pytest.raises(TemporemError, match=message) as caught:
        read_motion(tmp_path)
    assert str(path) in str(caught.value)


def test_arrays_in_the_other_byte_order_are_read(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, "hinge", hinge)
    path = tmp_path / "motion.npz"
    np.savez(path, **{**np.load(path), "axis_point": hinge.axis_point.numpy().astype(">f8")})
    assert read_motion(tmp_path).axis_point.equal(hinge.axis_point)


def test_what_is_no_npz_file_is_never_to_be_loaded_unsafely(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, "hinge", hinge)
    np.save(tmp_path / "array.npy", np.zeros(3))
    for content in (b"text", (tmp_path / "array.npy").read_bytes()):
        (tmp_path / "motion.npz").write_bytes(content)
        with pytest.raises(TemporemError, match=r"cannot read .*motion\.npz") as caught:
            read_motion(tmp_path)
        assert "pickle" not in str(caught.value)


def test_cut_file_is_refused(hinge: Hinge, tmp_path: Path) -> None:
    write_motion(tmp_path, "hinge", hinge)
    path = tmp_path / "molecule.npz"
    assert zipfile.is_zipfile(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TemporemError, match=r"cannot read .*molecule\.npz"):
        read_motion(tmp_path)


@pytest.mark.parametrize("header", [b"(", b"{1:2,'a':3}", b"{[]:1}"])
def test_header_that_is_no_dictionary_of_numpy_is_refused(
    header: bytes, hinge: Hinge, tmp_path: Path
) -> None:
    write_motion(tmp_path, "hinge", hinge)
    text = header.ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(tmp_path / "motion.npz", "w") as archive:
        archive.writestr("axis_point.npy", array)
    with pytest.raises(TemporemError, match=r"cannot read .*motion\.npz"):
        read_motion(tmp_path)


def test_trajectory_is_read_back_exactly(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    path = torch.randn(4, 6, 3, generator=generator, dtype=torch.float64)
    motion = path_through(line_of_atoms(), path)
    write_motion(tmp_path, "morph", motion)
    back = read_motion(tmp_path)
    assert type(back) is type(motion)
    progress = torch.rand(7, 1, generator=generator, dtype=torch.float64)
    assert conformations(back, progress).equal(conformations(motion, progress))
