"""Files of cryoSPARC, without cryoSPARC."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.io.cryosparc import read_particles, with_poses, write_particles

FILES = sorted((SHARED / "specimens/cryosparc").glob("*.cs"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rows_keep_types_ids_and_values(path: Path, tmp_path: Path) -> None:
    table = read_particles(path)
    write_particles(tmp_path / "out.cs", table[2:5])
    found = np.load(tmp_path / "out.cs", allow_pickle=False)
    assert found.dtype == table.dtype
    assert found.tobytes() == table[2:5].tobytes()
    assert table["uid"].dtype == np.uint64


def test_poses_are_added_or_replaced(tmp_path: Path) -> None:
    table = read_particles(FILES[0])
    n = len(table)
    vectors, shifts = np.arange(3 * n).reshape(n, 3), np.arange(2 * n).reshape(n, 2)
    posed = with_poses(table, vectors, shifts, np.full(n, 1.5))
    for name in table.dtype.names or ():
        np.testing.assert_array_equal(posed[name], table[name])
    np.testing.assert_array_equal(posed["alignments3D/pose"], vectors)
    again = with_poses(posed, 2 * vectors, shifts, np.full(n, 1.5))
    assert again.dtype == posed.dtype
    np.testing.assert_array_equal(again["alignments3D/pose"], 2 * vectors)
    np.testing.assert_array_equal(again["alignments3D/shift"], shifts)


class Malice:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("hacked"),)


def test_hostile_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("objects.npy", np.array([Malice()], dtype=object), allow_pickle=True)
    Path("objects.npy").rename("objects.cs")
    Path("pickle.cs").write_bytes(pickle.dumps(Malice()))
    Path("compressed.cs").write_bytes(b"\x94CSDAT\x02\x00" + bytes(100))
    np.save("plain.npy", np.zeros(3))
    Path("plain.npy").rename("plain.cs")
    whole = FILES[0].read_bytes()
    Path("short.cs").write_bytes(whole[:-100])
    Path("header.cs").write_bytes(whole[:60])
    for path in sorted(Path().glob("*.cs")):
        with pytest.raises(TemporemError):
            read_particles(path)
    assert not Path("hacked").exists()
