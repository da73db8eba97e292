"""Rows of STAR files copied with all else as it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.io.star import read_star
from temporem.io.star_rows import copy_rows, particles_block

RELION = SHARED / "specimens/relion"
FILES = [
    "relion31.star",
    "relion31.6opticsgroups.star",
    "sample_particles_relion30.star",
    "sample_particles_relion31.star",
    "empiar_10076_7.star",
    "rln_proj_64.star",
    "toy_projections.star",
    "FinalRefinement-OriginalParticles-PfCRT.star",
]


@pytest.mark.parametrize("name", FILES)
def test_what_is_left_is_what_was_there(name: str, tmp_path: Path) -> None:
    """By an independent reader: other tables whole, columns in order, values of the rows."""
    source, out = RELION / name, tmp_path / "out.star"
    block = particles_block(source)
    n = read_star(source)[block].n_rows
    rows = np.unique([0, n // 2, n - 1])
    copy_rows(source, out, rows, block=block)
    before = starfile.read(source, always_dict=True)
    after = starfile.read(out, always_dict=True)
    assert list(before) == list(after)
    for key, table in before.items():
        wanted = table.iloc[rows].reset_index(drop=True) if key == block else table
        assert wanted.equals(after[key].reset_index(drop=True))
    kept = [line for line in source.read_text().splitlines() if line.startswith(("#", "data_"))]
    assert [
        line for line in out.read_text().splitlines() if line.startswith(("#", "data_"))
    ] == kept  # the version of RELION stands in a comment


def test_all_rows_give_the_same_file(tmp_path: Path) -> None:
    source = RELION / "relion31.star"
    n = read_star(source)["particles"].n_rows
    copy_rows(source, tmp_path / "out.star", np.arange(n), block="particles")
    assert (tmp_path / "out.star").read_bytes() == source.read_bytes()


TEXT = (
    "# made by hand\r\n\r\ndata_other\r\n_x 'two words'\r\n\r\ndata_particles # these\r\n"
    "loop_\r\n_rlnImageName #1\r\n_rlnAngleRot #2\r\n_note #3\r\n"
    "1@a.mrcs   10.5 'a b'\r\n# between\r\n2@a.mrcs   20.5 \"c d\"\r\n\r\n"
    "3@a.mrcs   30.5 e # end\r\n"
)


def test_columns_are_replaced_and_added(tmp_path: Path) -> None:
    source = tmp_path / "in.star"
    source.write_bytes(TEXT.encode())
    columns = {"rlnAngleRot": ["1.25", "-2.5"], "rlnAngleTilt": ["7", "8"]}
    copy_rows(source, tmp_path / "out.star", np.array([0, 2]), block="particles", columns=columns)
    text = (tmp_path / "out.star").read_bytes().decode()
    assert text.count("\r\n") == text.count("\n")
    assert "# between" in text
    tables = read_star(tmp_path / "out.star")
    assert {name: list(values) for name, values in tables["particles"].items()} == {
        "rlnImageName": ["1@a.mrcs", "3@a.mrcs"],
        "rlnAngleRot": ["1.25", "-2.5"],
        "note": ["a b", "e"],
        "rlnAngleTilt": ["7", "8"],
    }
    assert list(tables["other"]["x"]) == ["two words"]


@pytest.mark.parametrize("name", ["postprocess.star", "sample.star"])
def test_file_without_particles_is_refused(name: str) -> None:
    with pytest.raises(TemporemError):
        particles_block(RELION / name)
