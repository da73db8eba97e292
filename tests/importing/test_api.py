"""Import from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import temporem as tm

AS_THEY_ARE = {"invert": "no", "normalise": False}


def test_an_imported_export_equals_the_dataset(tiny_dataset: Path, tmp_path: Path) -> None:
    before, done = tm.read_dataset(tiny_dataset), []
    progress = tm.Progress(lambda fraction, note: done.append(fraction))
    after = tm.import_files(
        tiny_dataset / "particles.star", tmp_path / "movies", progress=progress, **AS_THEY_ARE
    )
    assert done[-1] == 1
    assert [m.tolist() for m in after.movies] == [m.tolist() for m in before.movies]
    np.testing.assert_array_equal(after.images[:], before.images[:])
    np.testing.assert_allclose(after.poses.rotations, before.poses.rotations, atol=1e-6)
    np.testing.assert_allclose(after.poses.shifts_angstrom, before.poses.shifts_angstrom, atol=1e-5)
    np.testing.assert_allclose(after.ctf.defocus_u_angstrom, before.ctf.defocus_u_angstrom)


def test_stacks_and_options(tiny_dataset: Path, tmp_path: Path) -> None:
    options = {"frames_per_movie": 4, "ctf": "none", "size": 8, **AS_THEY_ARE}
    stack = str(tiny_dataset / "particles.mrcs")
    data = tm.import_files([stack], str(tmp_path / "a"), **options)
    assert (data.n_movies, data.box, data.has_poses) == (5, 8, False)
    with pytest.raises(tm.TemporemError, match="exists"):
        tm.import_files(stack, tmp_path / "a", **options)
    tm.import_files(stack, tmp_path / "a", overwrite=True, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"movies_from": "rlnGroupName"}, "no option movies_from; expected some of datadir, movie"),
        ({"invert": "perhaps"}, "invert is 'perhaps'; expected one of auto, yes, no"),
        ({"ctf": "maybe"}, "ctf is 'maybe'; expected one of file, none"),
        ({"voltage": float("nan")}, "voltage nan"),
        ({"datadir": "/nowhere"}, "is not a folder"),
    ],
)
def test_options_that_cannot_be(
    options: dict, message: str, tiny_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(tm.TemporemError, match=message):
        tm.import_files(tiny_dataset / "particles.star", tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(tm.TemporemError, match=r"none\.star does not exist"):
        tm.import_files("none.star", tmp_path / "a")
