"""STAR files: the files of other programs are read, and ours come back as they were."""

import contextlib
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from gemmi import cif
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.io import star
from temporem.io.star import StarTable, read_star, write_star

RELION = SHARED / "specimens" / "relion"

# Blocks and their rows in every specimen that is a STAR file.
SPECIMENS = {
    "FinalRefinement-OriginalParticles-PfCRT": {"images": 5},
    "empiar_10076_7": {"": 7},
    "one_loop": {"": 16},
    "postprocess": {"general": 1, "fsc": 49, "guinier": 49},
    "relion31": {"optics": 1, "particles": 5},
    "relion31.6opticsgroups": {"optics": 6, "particles": 139},
    "rln3.1_data_style": {"block_1": 1, "block_2": 2, "block_3": 2},
    "rln_proj_64": {"particles": 5},
    "rln_proj_65": {"particles": 5},
    "sample_particles_relion30": {"model_class_1": 17},
    "sample_particles_relion31": {"optics": 2, "particles": 17},
    "sta_testing_bin8": {"": 219},
    "toy_projections": {"images": 1000},
}


def write_text(folder: Path, text: str) -> Path:
    path = folder / "table.star"
    path.write_text(text, encoding="utf-8")
    return path


def contents(blocks: Mapping[str, StarTable]) -> dict[str, dict[str, list[str]]]:
    return {
        block: {column: table.strings(column) for column in table}
        for block, table in blocks.items()
    }


@pytest.mark.parametrize("name", SPECIMENS)
def test_relion_specimen_is_read_as_by_gemmi(name):
    blocks = read_star(RELION / f"{name}.star")
    assert {block: table.n_rows for block, table in blocks.items()} == SPECIMENS[name]
    document = cif.read(str(RELION / f"{name}.star"))
    expected: dict[str, dict[str, list[str]]] = {block.name.strip(): {} for block in document}
    for block in document:
        for item in block:
            names = [item.pair[0]] if item.loop is None else item.loop.tags
            values = [item.pair[1]] if item.loop is None else item.loop.values
            expected[block.name.strip()] |= {
                tag[1:]: [cif.as_string(v) if v[0] in "'\"" else v for v in values[i :: len(names)]]
                for i, tag in enumerate(names)
            }
    assert contents(blocks) == expected


def test_every_specimen_is_covered():
    assert {path.stem for path in RELION.glob("*.star")} == {*SPECIMENS, "sample"}


def test_malformed_specimen_is_one_clear_line():
    with pytest.raises(TemporemError, match=r"sample\.star: line \d+: row \d+ .* has \d+ values"):
        read_star(RELION / "sample.star")


def test_specimen_values():
    blocks = read_star(RELION / "sample_particles_relion31.star")
    optics, particles = blocks["optics"], blocks["particles"]
    np.testing.assert_array_equal(optics.floats("rlnVoltage"), [300, 200])
    np.testing.assert_array_equal(optics.ints("rlnOpticsGroup"), [1, 2])
    assert optics.strings("rlnMtfFileName") == ["mtf_k2_200kV.star"] * 2
    assert particles.floats("rlnAnglePsi")[1] == -114.981686
    general = read_star(RELION / "postprocess.star")["general"]
    assert general.floats("rlnFinalResolution") == [16.363636]


@pytest.mark.parametrize("name", SPECIMENS)
def test_specimen_round_trip(name, tmp_path):
    blocks = read_star(RELION / f"{name}.star")
    write_star(tmp_path / "again.star", blocks)
    again = read_star(tmp_path / "again.star")
    assert contents(again) == contents(blocks)


# Characters that one line of text can hold; both quotation marks at once are refused.
LINE = st.characters(exclude_categories=("C", "Zl", "Zp", "Zs"), exclude_characters="'")
WORDS = st.text(LINE | st.just(" "), max_size=12) | st.sampled_from(
    ["", "?", ".", "#", "_x", "data_x", "LOOP_", "it's", "a b", "$x", "[1,2]", ";x", "stop_"]
)


@st.composite
def tables(draw):
    n = draw(st.integers(1, 5))
    floats = st.floats(allow_nan=False, allow_infinity=False)
    return StarTable(
        {
            "rlnFloat": draw(hnp.arrays(np.float64, n, elements=floats)),
            "rlnInt": draw(hnp.arrays(np.int64, n)),
            "rlnText": draw(st.lists(WORDS, min_size=n, max_size=n)),
        }
    )


@settings(max_examples=200, deadline=None)
@given(table=tables())
def test_round_trip_is_exact(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("star") / "table.star"
    write_star(path, {"optics": table, "": table})
    for again in (read_star(path)["optics"], read_star(path)[""]):
        np.testing.assert_array_equal(again.floats("rlnFloat"), table["rlnFloat"])
        np.testing.assert_array_equal(again.ints("rlnInt"), table["rlnInt"])
        assert again.strings("rlnText") == table["rlnText"]


def test_layout_is_that_of_relion(tmp_path):
    table = StarTable({"rlnVoltage": np.array([300.0, 80.0]), "rlnOpticsGroup": np.array([1, 12])})
    write_star(tmp_path / "table.star", {"optics": table})
    assert (tmp_path / "table.star").read_text().splitlines() == [
        "",
        "# version 30001",
        "",
        "data_optics",
        "",
        "loop_",
        "_rlnVoltage #1",
        "_rlnOpticsGroup #2",
        "300.0  1",
        " 80.0 12",
        "",
    ]


@pytest.mark.parametrize("text", ["two\nlines", "both ' and \" marks' \"", "bell\a"])
def test_text_that_no_line_can_hold_is_refused(text, tmp_path):
    with pytest.raises(TemporemError, match="_rlnText cannot hold") as caught:
        write_star(tmp_path / "table.star", {"a": StarTable({"rlnText": [text]})})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "read", "message"),
    [
        ("abc", StarTable.floats, "'abc'; expected a number"),
        ("nan", StarTable.floats, "'nan'; expected a finite number"),
        ("-inf", StarTable.floats, "'-inf'; expected a finite number"),
        ("1.5", StarTable.ints, "'1.5'; expected a whole number"),
        ("99999999999999999999", StarTable.ints, "expected a whole number"),
    ],
)
def test_bad_number_names_file_block_row_and_column(value, read, message, tmp_path):
    path = write_text(tmp_path, f"data_a\nloop_\n_x #1\n_y #2\n1 1\n1 1\n1 {value}\n")
    with pytest.raises(TemporemError, match=message) as caught:
        read(read_star(path)["a"], "y")
    assert f"{path}: data_a row 2 (counted from 0): _y" in str(caught.value)


def test_missing_columns_are_all_named(tmp_path):
    table = read_star(write_text(tmp_path, "data_a\nloop_\n_x\n1\n"))["a"]
    with pytest.raises(TemporemError, match="data_a lacks _y and _z"):
        table.require("x", "y", "z")
    with pytest.raises(TemporemError, match="lacks _y"):
        table.floats("y")
    assert table.floats("y", default=0.5) == [0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no data block"),
        ("hello\n", "line 1: 'hello' stands before the first data_ line"),
        ("data_a\n_x 1\ndata_a\n_x 2\n", "duplicate block name"),
        ("data_a\nloop_\n_x\n_x\n1 2\n", "duplicate tag"),
        ("data_a\nloop_\n_x\n1\nloop_\n_y\n2\n", "several tables"),
        ("data_a\nloop_\n_x\n1\n\n_y 2\n", "several tables"),
        ("data_a\n_x 1\nloop_\n_y\n2\n", "several tables"),
        ("data_a\n_x\n1\n", "line 2: _x has 0 values"),
        ("data_a\n_x 1 2\n", "line 2: _x has 2 values"),
        ("data_a\n_x 1\n_x 2\n", "line 3: duplicate tag"),
        ("data_a\n1\n", "line 2: '1' follows no name"),
        ("data_a\nloop_\n", "the loop of data_a has no columns"),
        ("data_a\nloop_\n_x _y\n1 2\n", "line 3: '_y' follows the name of a column"),
        ("data_a\nloop_\n1\n", "row 0 .* has 1 value; expected 0"),
        ("data_a\n_x 'b c\n", "line 2: the quotation mark of 'b is not closed"),
        ("data_a\n_x\n;\nb\n;\n", "line 2: _x has 0 values"),
        ("data_a\nloop_\n_x\n;\nb\n;\n", "line 4: text over several lines"),
        ("data_a\nsave_b\n", "line 2: 'save_b' is out of place"),
        ("data_a\n_x " + "1" * 2**20, "line 2: more than 1048576 characters"),
    ],
)
def test_malformed_file_is_one_clear_line(text, message, tmp_path):
    with pytest.raises(TemporemError, match=message) as caught:
        read_star(write_text(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_unreadable_file_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "binary.star").write_bytes(b"\xff\xfe\x00")
    for name, message in [
        ("missing.star", "is not a file"),
        ("", "is not a file"),
        ("binary.star", "is not text"),
        ("x" * 300, "cannot read"),
    ]:
        with pytest.raises(TemporemError, match=message):
            read_star(tmp_path / name)
    monkeypatch.setattr(star, "MAX_STAR_BYTES", 2)
    with pytest.raises(TemporemError, match="larger than"):
        read_star(tmp_path / "binary.star")


def test_text_of_other_systems(tmp_path):
    path = tmp_path / "windows.star"
    path.write_bytes("\ufeffdata_a # Å\r\nloop_\r\n_x\r\n'a é'\r\n\"\"\r\n".encode())
    assert read_star(path)["a"].strings("x") == ["a é", ""]


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        StarTable({"a": [1], "b": [1, 2]})


def test_row_that_a_broken_copy_cut_off_is_told_apart(tmp_path):
    path = write_text(tmp_path, "data_a\nloop_\n_x #1\n_y #2\n1 2\n1 2\n9")
    with pytest.raises(TemporemError, match=r"row 2 .* has 1 value; .* cut short: copy it again"):
        read_star(path)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("9 0.3 9", "3 values"),
        ("9", "1 value"),
        ("movie 02 9", "3 values"),
        ("# gone\n9", "1 value"),
    ],
    ids=["stray value", "missing value", "unquoted space", "comment"],
)
def test_row_of_another_length_is_named(row, found, tmp_path):
    rows = "\n".join(["1 2"] * 9 + [row] + ["1 2"] * 9)
    path = write_text(tmp_path, f"data_a\nloop_\n_x #1\n_y #2\n{rows}\n")
    line = 14 + row.count("\n")
    message = (
        rf"line {line}: row 9 \(counted from 0\) of data_a has {found}; "
        "expected 2, one for each column; put values that hold spaces in quotation marks"
    )
    with pytest.raises(TemporemError, match=message):
        read_star(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'a b'", "a b"),
        ("'it's'", "it's"),
        ('"it\'s"', "it's"),
        ("it's", "it's"),
        ("a#b", "a#b"),
        ("'#' # comment", "#"),
        ("''", ""),
        ("?", "?"),
        ("é\u00a0x", "é\u00a0x"),
        ("'_x'", "_x"),
        ("'loop_'", "loop_"),
    ],
)
def test_value_is_read_as_written(text, value, tmp_path):
    blocks = read_star(write_text(tmp_path, f"data_a\n_y {text}\ndata_b\nloop_\n_y\n{text}\n"))
    assert blocks["a"].strings("y") == [value]
    assert blocks["b"].strings("y") == [value]


def test_row_may_begin_with_a_word_of_the_language(tmp_path):
    """RELION puts no names in quotation marks."""
    path = write_text(tmp_path, "data_a\nloop_\n_x\n_y\ndata_1.mrcs 1\nloop_2.mrcs 2\n")
    assert read_star(path)["a"].strings("x") == ["data_1.mrcs", "loop_2.mrcs"]


def test_table_without_rows_is_read(tmp_path):
    assert read_star(write_text(tmp_path, "data_a\nloop_\n_x\n"))["a"].n_rows == 0


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_bytes_are_tables_or_an_error(tmp_path, junk, place):
    whole = b"data_optics\n\n_rlnX 1\n\ndata_a # b\nloop_\n_x #1\n_y #2\n1 'a b'\n2 c\n"
    path = tmp_path / "table.star"
    path.write_bytes(whole[:place] + junk + whole[place + len(junk) // 2 :])
    with contextlib.suppress(TemporemError):
        for table in read_star(path).values():
            for column in table:
                assert len(table.strings(column)) == table.n_rows
                with contextlib.suppress(TemporemError):
                    assert np.isfinite(table.floats(column)).all()


def test_memory_stays_near_the_size_of_the_file(tmp_path):
    """The worst is a file of one character per value: 16 bytes are kept of each."""
    n_rows, n_columns = 25_000, 8
    names = "".join(f"_x{i}\n" for i in range(n_columns))
    path = write_text(tmp_path, f"data_a\nloop_\n{names}" + n_rows * (n_columns * "1 " + "\n"))
    tracemalloc.start()
    table = read_star(path)["a"]
    assert table.ints("x7").sum() == n_rows
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * n_rows * n_columns
