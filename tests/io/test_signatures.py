"""Foreign files are named by their first bytes, by every command."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.commands import command
from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.io.mrc import open_stack
from temporem.io.signatures import recognise
from temporem.io.star import read_star

SPECIMENS = SHARED / "specimens"
KEYS = {
    "vendor/3D_test-1.dm3": "dm",
    "vendor/3D_test-1.dm4": "dm",
    "vendor/16_STOimage_1.ser": "ser",
    "vendor/16_STOimage.emi": "emi",
    "vendor/fei_example_tem_stack.emd": "hdf5",
    "vendor/test_tvips_2233_000.tvips": "tvips",
    "vendor/test_loading_image_saved_with_DM_stack.tif": "tiff",
    "mrc/1ake.mrc": "mrc",
    "liquid/nanorods_movie_jpeg/000000.jpg": "picture",
    "cryosparc/empiar_10076_7.cs": "npy",
    "relion/relion31.star": "star",
    "mrc/emd_3197.map.gz": "gzip",
}


@pytest.mark.parametrize("name", KEYS)
def test_specimens_are_recognised(name):
    found = recognise(SPECIMENS / name)
    assert found is not None
    assert found.key == KEYS[name]


def test_a_pickle_is_named_and_never_loaded(tmp_path):
    (tmp_path / "poses.pkl").write_bytes(b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.")
    assert "pickle" in recognise(tmp_path / "poses.pkl").name


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(sorted(KEYS)), st.integers(0, 300), st.binary(max_size=8))
def test_any_first_bytes_have_a_format_or_none(tmp_path, name, length, more):
    """Never an error: every reader asks this first."""
    with (SPECIMENS / name).open("rb") as file:
        (tmp_path / "file").write_bytes(file.read(length) + more)
    found = recognise(tmp_path / "file")
    assert found is None or found.hint


@pytest.mark.parametrize("content", [b"", b"\0", b"text", bytes(2000), b"\xff" * 2000])
def test_other_files_are_not_recognised(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert recognise(tmp_path / "file") is None
    assert recognise(tmp_path) is None


@pytest.mark.parametrize("read", [open_stack, read_star])
def test_readers_name_the_format_and_the_command(read):
    with pytest.raises(
        TemporemError, match=r"is a Gatan DM4 movie; expected .*; use temporem extract"
    ):
        read(SPECIMENS / "vendor/3D_test-1.dm4")


COMMANDS = {
    "reconstruct": ("reconstruct", "FILE", "-o", "x"),
    "config": ("reconstruct", ".", "-o", "x", "--config", "FILE"),
    "validate": ("validate", "FILE"),
    "evaluate": ("evaluate", "FILE"),
    "compare": ("compare", "FILE", "FILE"),
    "motion": ("motion", "FILE", "-o", "x"),
    "select": ("select", "FILE", "--poses", "-o", "x.star"),
    "export": ("export", "FILE", "-o", "x"),
    "report": ("report", "FILE", "-o", "x.html"),
    "simulate": ("simulate", "FILE", "-o", "x"),
    "experiment": ("experiment", "FILE", "-o", "x"),
}
FOREIGN = {
    "vendor/3D_test-1.dm4": "is a Gatan DM4 movie; expected .*; use temporem extract",
    "mrc/EMD-3001.map": "is an MRC file; expected .*; use temporem extract for a movie, or",
    "relion/relion31.mrcs": "is an MRC file; expected .*; use temporem extract for a movie, or",
    "relion/relion31.star": "is a STAR file; expected .*; use temporem import",
    "mrc/emd_3197.map.gz": "is packed by gzip; expected .*; unpack it first",
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_commands_name_the_format_and_the_command(tmp_path, monkeypatch, arguments, name):
    monkeypatch.chdir(tmp_path)
    found = command(*(SPECIMENS / name if word == "FILE" else word for word in arguments))
    assert found.code == 2
    assert re.search(FOREIGN[name], found.err)
    assert found.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FOREIGN)
def test_check_says_of_a_file_what_import_says(tmp_path, monkeypatch, name):
    """It takes what import takes, and so refuses what import refuses."""
    monkeypatch.chdir(tmp_path)
    checked = command("check", SPECIMENS / name, "-o", "x.png")
    imported = command("import", SPECIMENS / name, "-o", "x")
    assert (checked.code, checked.err) == (2, imported.err)
    assert checked.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words", [("check",), ("validate",), ("reconstruct", "-o", "x"), ("import", "-o", "x")]
)
def test_a_folder_of_pictures_is_a_movie(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    found = command(*words, SPECIMENS / "liquid/nanorods_movie_jpeg")
    assert "is a folder of pictures; expected" in found.err
    assert "use temporem extract" in found.err


@pytest.mark.parametrize(
    "name", [name for name, key in KEYS.items() if key in ("dm", "ser", "emi", "hdf5", "tiff")]
)
def test_import_sends_movies_to_extract(tmp_path, name):
    found = command("import", SPECIMENS / name, "-o", tmp_path / "x")
    assert found.code == 2
    assert found.err.rstrip().endswith("use temporem extract")


def test_a_file_of_a_dataset_is_answered_with_its_folder(tmp_path):
    (tmp_path / "particles.star").write_text("data_particles\n")
    found = command(
        "reconstruct", tmp_path / "particles.star", "-o", tmp_path / "run", "--method", "linear"
    )
    assert found.code == 2
    assert f"name the folder, {tmp_path};" in found.err


def test_arrays_are_for_import(tmp_path):
    np.save(tmp_path / "particles.npy", np.zeros(3))
    found = command("reconstruct", tmp_path / "particles.npy", "-o", tmp_path / "x")
    assert "use temporem import" in found.err


def test_small_big_endian_mrc_files_are_no_dm_movies(tmp_path):
    header = np.zeros(256, dtype=">i4")
    header[:4] = 4, 6, 5, 1
    (tmp_path / "a.mrc").write_bytes(header.tobytes() + bytes(4 * 6 * 5 * 2))
    assert recognise(tmp_path / "a.mrc") is None
    assert open_stack(tmp_path / "a.mrc").shape == (5, 6, 4)
