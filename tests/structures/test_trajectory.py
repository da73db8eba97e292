"""Trajectories: what is really in the files, superposed, and what is said of bad ones."""

import gc
import os
import re
import sys
import warnings
from pathlib import Path

import MDAnalysis
import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.structures import trajectory
from temporem.structures.molecule import Molecule
from temporem.structures.reading import read_molecule
from temporem.structures.snapshot_path import path_through
from temporem.structures.sources import find_structure
from temporem.structures.trajectory import read_trajectory

ADK = SHARED / "structures" / "adk"
PSF, DCD = ADK / "adk.psf", ADK / "adk_dims.dcd"
FRAME_BYTES = 3 * (4 * 3341 + 8)


@pytest.fixture(scope="module")
def heavy() -> tuple[Molecule, Tensor]:
    return read_trajectory(PSF, DCD, hydrogens=False)


@pytest.fixture(scope="module")
def everything() -> tuple[Molecule, Tensor]:
    return read_trajectory(PSF, DCD)


def rmsd(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square distance of the atoms of ``(..., N, 3)``."""
    return (a - b).square().sum(-1).mean(-1).sqrt()


def superposed_rmsd(a: Tensor, b: Tensor) -> float:
    rotation, shift = roma.rigid_points_registration(a, b)
    return float(rmsd(a @ rotation.mT + shift, b))


def edited(tmp_path: Path, old: str, new: str, count: int = -1) -> Path:
    """A copy of the topology with a text replaced."""
    text = PSF.read_text()
    assert old in text
    path = tmp_path / "edited.psf"
    path.write_text(text.replace(old, new, count))
    return path


def test_atoms_are_those_of_the_topology_with_elements_from_masses(
    everything: tuple[Molecule, Tensor],
) -> None:
    molecule, snapshots = everything
    other = read_molecule(ADK / "adk_closed.pdb")
    assert molecule.name == "adk"
    assert molecule.atomic_numbers.equal(other.atomic_numbers)
    for name in ("chains", "residue_numbers", "atom_names"):
        np.testing.assert_array_equal(getattr(molecule, name), getattr(other, name))
    assert snapshots.shape == (98, 3341, 3)
    assert molecule.positions_angstrom.equal(snapshots[0])


def test_all_snapshots_that_are_there_are_read_whatever_the_header_says(
    everything: tuple[Molecule, Tensor],
) -> None:
    content = DCD.read_bytes()
    assert int.from_bytes(content[8:12], sys.byteorder) == 500
    n_header = len(content) % FRAME_BYTES
    assert len(content) == n_header + 98 * FRAME_BYTES
    # Three records a snapshot: x, y and z of all atoms.
    records = np.frombuffer(content[n_header:], dtype="<f4").reshape(98, 3, 3343)
    raw = torch.tensor(records[:, :, 1:-1].astype(np.float64)).mT
    snapshots = everything[1]
    for i in (0, 1, 50, 97):
        assert superposed_rmsd(snapshots[i], raw[i]) < 1e-5


def test_no_warning_of_another_library_comes_through() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_trajectory(PSF, DCD)


def test_snapshots_are_superposed_on_the_first(heavy: tuple[Molecule, Tensor]) -> None:
    molecule, snapshots = heavy
    assert len(molecule) == 1656
    assert (molecule.atomic_numbers > 1).all()
    for i in (1, 40, 97):
        best = superposed_rmsd(snapshots[i], snapshots[0])
        assert float(rmsd(snapshots[i], snapshots[0])) == pytest.approx(best, abs=1e-9)
    # Rigid: distances within a snapshot are those of the file, where atoms are elsewhere.
    centres = snapshots.mean(1)
    assert (centres - centres[0]).norm(dim=-1).max() < 1e-9


def test_ends_are_the_closed_and_the_open_structure(everything: tuple[Molecule, Tensor]) -> None:
    molecule, snapshots = everything
    alphas = torch.from_numpy(molecule.atom_names == "CA")
    assert alphas.sum() == 214
    closed, opened = (
        read_molecule(ADK / f"adk_{state}.pdb").positions_angstrom[alphas]
        for state in ("closed", "open")
    )
    first, last = snapshots[0, alphas], snapshots[-1, alphas]
    assert superposed_rmsd(first, closed) == pytest.approx(0.46, abs=0.01)
    assert superposed_rmsd(last, opened) == pytest.approx(0.50, abs=0.01)
    assert superposed_rmsd(first, opened) == pytest.approx(6.81, abs=0.01)
    assert superposed_rmsd(last, closed) == pytest.approx(6.92, abs=0.01)


def test_neighbours_are_close_and_bonds_survive_between_them(
    heavy: tuple[Molecule, Tensor],
) -> None:
    """The numbers in the docstring of Trajectory."""
    molecule, snapshots = heavy
    steps = rmsd(snapshots[1:], snapshots[:-1])
    assert steps.min() == pytest.approx(0.42, abs=0.01)
    assert steps.max() == pytest.approx(0.58, abs=0.01)
    motion = path_through(molecule, snapshots)
    even = torch.linspace(0, 1, 98, dtype=torch.float64)
    assert (motion.progress - even).abs().max() == pytest.approx(0.013, abs=0.001)

    first, second = torch.triu_indices(1656, 1656, 1)
    bonded = (snapshots[0, first] - snapshots[0, second]).norm(dim=-1) < 1.95
    first, second = first[bonded], second[bonded]
    assert len(first) == 1680

    def lengths(atoms: Tensor) -> Tensor:
        return (atoms[:, first] - atoms[:, second]).norm(dim=-1)

    halfway = (motion.progress[1:] + motion.progress[:-1]) / 2
    at, between = lengths(snapshots), lengths(motion.positions(halfway[:, None]))
    off = between - (at[1:] + at[:-1]) / 2
    assert off.square().mean().sqrt() == pytest.approx(0.015, abs=0.001)
    assert (off < -0.1).double().mean() == pytest.approx(0.003, abs=0.0005)
    assert off.max() < 1e-3
    assert off.min() > -0.6
    assert (at - at[0]).std() == pytest.approx(0.042, abs=0.001)
    at_snapshots = motion.positions(motion.progress[:, None])
    assert (at_snapshots - snapshots).abs().max() < 1e-5


def test_pdb_without_elements_serves_as_topology(everything: tuple[Molecule, Tensor]) -> None:
    molecule, snapshots = read_trajectory(ADK / "adk_closed.pdb", DCD)
    assert molecule.name == "adk_closed"
    assert molecule.atomic_numbers.equal(everything[0].atomic_numbers)
    assert snapshots.equal(everything[1])


def test_waters_and_unknown_residues_are_left_out(tmp_path: Path) -> None:
    text = (
        PSF.read_text().replace(" 2    ARG  ", " 2    TIP3 ").replace(" 214  GLY  ", " 214  XYZ  ")
    )
    (tmp_path / "wet.psf").write_text(text)
    molecule, snapshots = read_trajectory(tmp_path / "wet.psf", DCD)
    assert set(range(1, 215)) - set(molecule.residue_numbers.tolist()) == {2, 214}
    assert snapshots.shape == (98, len(molecule), 3)


def test_chains_are_chosen_by_name() -> None:
    assert len(read_trajectory(PSF, DCD, chains=["4AKE"])[0]) == 3341
    with pytest.raises(TemporemError, match="has no chain B; expected of 4AKE"):
        read_trajectory(PSF, DCD, chains=["B"])


@pytest.mark.integration
@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr", "ncdf"])
def test_other_formats_hold_the_same_and_are_refused_when_cut_off(
    tmp_path: Path,
    everything: tuple[Molecule, Tensor],
    capfd: pytest.CaptureFixture[str],
    suffix: str,
) -> None:
    """DCD here has a unit cell, which the specimen lacks; XTC rounds to 0.01 Å."""
    path, cut = tmp_path / f"short.{suffix}", tmp_path / f"cut.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(str(PSF), str(DCD))
        universe.atoms.write(str(path), frames=universe.trajectory[:5])
    snapshots = read_trajectory(PSF, path)[1]
    assert snapshots.shape == (5, 3341, 3)
    assert (snapshots - everything[1][:5]).abs().max() < 0.02
    content = path.read_bytes()
    for size in (-1, -len(content) // 15, -len(content) // 2):
        cut.write_bytes(content[:size])
        with pytest.raises(TemporemError, match=rf"cut\.{suffix}") as error:
            read_trajectory(PSF, cut)
        assert "\n" not in str(error.value)
    del error
    gc.collect()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "size",
    [
        0,
        3,
        50,
        99,
        300,
        FRAME_BYTES // 2,
        -1,
        -FRAME_BYTES // 3,
        -FRAME_BYTES // 2,
        -10 * FRAME_BYTES - 100,
    ],
)
def test_file_that_is_cut_off_is_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], size: int
) -> None:
    """Also between two records, where only their number tells."""
    path = tmp_path / "cut.dcd"
    path.write_bytes(DCD.read_bytes()[:size])
    with pytest.raises(TemporemError, match=r"cut\.dcd .*(cut off|does not begin)") as error:
        read_trajectory(PSF, path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_header_of_xplor_has_no_unit_cell(
    tmp_path: Path, everything: tuple[Molecule, Tensor]
) -> None:
    """Where CHARMM says that there is one, X-PLOR has half of the time step, a double."""
    content = bytearray(DCD.read_bytes())
    content[44:52] = np.float64(0.1).tobytes()
    content[84:88] = bytes(4)
    path = tmp_path / "xplor.dcd"
    path.write_bytes(content)
    assert read_trajectory(PSF, path)[1].equal(everything[1])


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    content, noise = DCD.read_bytes(), np.random.default_rng(0).bytes(200_000)
    path = tmp_path / "bad.dcd"
    path.write_bytes(content[:500_000] + noise + content[700_000:])
    with pytest.raises(TemporemError, match="cut off or damaged"):
        read_trajectory(PSF, path)
    path.write_bytes(noise)
    with pytest.raises(TemporemError, match=r"bad\.dcd does not begin as a DCD file"):
        read_trajectory(PSF, path)
    nan = np.full(3, np.nan, "<f4").tobytes()
    path.write_bytes(content[:-400] + nan + content[-388:])
    with pytest.raises(TemporemError, match="atoms without coordinates"):
        read_trajectory(PSF, path)


@pytest.mark.parametrize("size", [0, 255])
def test_xtc_file_that_kills_its_reader_is_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], size: int
) -> None:
    """The size of packed numbers is not in the library's table of sizes."""
    path = tmp_path / "bad.xtc"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(str(PSF), str(DCD))
        universe.atoms.write(str(path), frames=universe.trajectory[:2])
    good = path.read_bytes()
    path.write_bytes(good[:84] + size.to_bytes(4, "big") + good[88:])
    with pytest.raises(TemporemError, match=r"cannot read .*bad\.xtc: it is damaged") as error:
        read_trajectory(PSF, path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def xyz(n_atoms: int, n_snapshots: int) -> bytes:
    rows = b"".join(b"C %d 0 0\n" % i for i in range(n_atoms))
    return (b"%d\nsnapshot\n" % n_atoms + rows) * n_snapshots


@pytest.mark.parametrize("at", [0, 5, -30])
def test_xyz_file_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path, at: int) -> None:
    """Also where only the number of snapshots, for which all of it is read, comes upon it."""
    path, content = tmp_path / "bad.xyz", xyz(3341, 5)
    path.write_bytes(content[:at] + b"\xe9" + content[at:])
    with pytest.raises(TemporemError, match=r"cannot read .*bad\.xyz: .*utf-8") as error:
        read_trajectory(PSF, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("which", ["topology", "coordinates"])
def test_file_whose_name_is_not_utf8_is_refused_in_one_line(tmp_path: Path, which: str) -> None:
    original = PSF if which == "topology" else DCD
    path = tmp_path / os.fsdecode(b"\xe9" + original.suffix.encode())
    path.symlink_to(original)
    files = (path, DCD) if which == "topology" else (PSF, path)
    with pytest.raises(TemporemError, match="is not UTF-8; rename it, or name a link"):
        read_trajectory(*files)


@pytest.mark.parametrize("content", [b"", b"PSF\n\n 1 !NTITLE\n", b"\x89PNG nothing", None])
def test_topology_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.psf"
    path.write_bytes(PSF.read_bytes()[:200_000] if content is None else content)
    with pytest.raises(TemporemError, match=r"cannot read .*bad\.psf: \w+") as error:
        read_trajectory(path, DCD)
    assert "\n" not in str(error.value)


def test_unknown_format(tmp_path: Path) -> None:
    path = tmp_path / "movie.xyzzy"
    path.write_bytes(DCD.read_bytes())
    with pytest.raises(TemporemError, match=r"cannot read .*movie\.xyzzy"):
        read_trajectory(PSF, path)


def test_coordinates_of_other_atoms() -> None:
    with pytest.raises(TemporemError, match=r"cannot read .*adk_dims\.dcd.* number of atoms"):
        read_trajectory(SHARED / "structures" / "7bcq.pdb", DCD)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemporemError, match=r"no trajectory file .*none\.psf"):
        read_trajectory(tmp_path / "none.psf", DCD)
    with pytest.raises(TemporemError, match=r"no trajectory file .*none\.dcd"):
        read_trajectory(PSF, tmp_path / "none.dcd")


def test_element_that_masses_do_not_tell(tmp_path: Path) -> None:
    united = edited(tmp_path, "12.0110", "14.0270", 1)
    with pytest.raises(TemporemError, match=r"atom CA of residue MET 1 .* its mass, 14.027 u"):
        read_trajectory(united, DCD)


def test_nothing_left(tmp_path: Path) -> None:
    (tmp_path / "x.psf").write_text(re.sub(r"(4AKE +\d+ +)\w+", r"\1XYZ", PSF.read_text()))
    with pytest.raises(TemporemError, match="no atom left after selection"):
        read_trajectory(tmp_path / "x.psf", DCD)


def test_more_than_memory_should_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trajectory, "_MAX_POSITIONS", 98 * 1656)
    read_trajectory(PSF, DCD, hydrogens=False)
    with pytest.raises(TemporemError, match=r"98 snapshots of 3,341 atoms.*every n-th"):
        read_trajectory(PSF, DCD)


def test_without_mdanalysis_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    with pytest.raises(TemporemError, match=r"pip install 'temporem\[trajectory\]'"):
        read_trajectory(PSF, DCD)


def test_files_are_found_in_folders_of_the_search_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEMPOREM_STRUCTURES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given, set_by_user, cache = (
        tmp_path / "given",
        tmp_path / "user",
        tmp_path / "cache" / "temporem" / "structures",
    )
    with pytest.raises(TemporemError, match=r"no structure 'adk/adk\.psf' .*--structures"):
        find_structure("adk/adk.psf")
    for folder in (cache, set_by_user, given):
        (folder / "adk").mkdir(parents=True)
        (folder / "adk" / "adk.psf").touch()
    assert find_structure("adk/adk.psf") == cache / "adk" / "adk.psf"
    monkeypatch.setenv("TEMPOREM_STRUCTURES", str(set_by_user))
    assert find_structure("adk/adk.psf") == set_by_user / "adk" / "adk.psf"
    assert find_structure("adk/adk.psf", given) == given / "adk" / "adk.psf"
    assert find_structure("ADK.psf", given / "adk") == given / "adk" / "adk.psf"
    assert find_structure(str(cache / "adk" / "adk.psf"), given) == cache / "adk" / "adk.psf"
    with pytest.raises(TemporemError, match="nowhere is not a folder"):
        find_structure("adk/other.psf", tmp_path / "nowhere")
