"""Folders and files whose names are bytes outside UTF-8, as Latin-1 systems have left them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from temporem.errors import TemporemError
from temporem.io.files import fresh_directory
from temporem.io.json_file import read_json_object
from temporem.io.mrc import open_stack, read_volume, write_stack, write_volume
from temporem.io.npz import NpzFile
from temporem.io.settings import load_settings
from temporem.io.star import StarTable, read_star, write_star


@pytest.fixture
def name(tmp_path) -> str:
    name = os.fsdecode(b"caf\xe9")
    try:
        (tmp_path / name).touch()
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 only")
    (tmp_path / name).unlink()
    return name


def test_files_of_any_name_are_written_and_read(name, tmp_path):
    pixels = np.arange(64, dtype=np.float32).reshape(4, 4, 4)
    with fresh_directory(tmp_path / name) as folder:
        write_star(folder / f"{name}.star", {"a": StarTable({"x": [1, 2]})})
        write_stack(folder / f"{name}.mrcs", [pixels], 1.0)
        write_volume(folder / f"{name}.mrc", pixels, 1.0)
        np.savez(folder / f"{name}.npz", x=pixels)
        (folder / f"{name}.json").write_text("{}")
        (folder / f"{name}.yaml").write_text("a: 1")
    path = tmp_path / name / name
    assert read_star(path.with_suffix(".star"))["a"].ints("x").tolist() == [1, 2]
    np.testing.assert_array_equal(open_stack(path.with_suffix(".mrcs")).read(), pixels)
    np.testing.assert_array_equal(read_volume(path.with_suffix(".mrc"), 4), pixels)
    file = NpzFile(path.with_suffix(".npz"), what="", hint="")
    np.testing.assert_array_equal(file.take("x", "f", 4, 4, 4), pixels)
    assert read_json_object(path.with_suffix(".json")) == {}
    assert load_settings(path.with_suffix(".yaml")) == {"a": 1}


@pytest.mark.parametrize("read", [read_star, open_stack, load_settings, read_json_object])
def test_missing_file_of_any_name_is_one_line(read, name, tmp_path):
    with pytest.raises(TemporemError) as caught:
        read(Path(tmp_path) / name)
    assert "\n" not in str(caught.value)
