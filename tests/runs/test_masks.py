"""Masks of files: those that are none are refused in one line that names the file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from temporem.errors import TemporemError
from temporem.io.mrc import write_volume
from temporem.runs.masks import read_given_mask

BOX, PIXEL = 16, 8.0


def read(path: Path) -> np.ndarray:
    return read_given_mask(str(path), BOX, window_radius=0.9).numpy()


def test_values_are_kept_and_cut_to_one(tmp_path) -> None:
    values = np.random.default_rng(0).random((BOX,) * 3).astype(np.float32)
    write_volume(tmp_path / "mask.mrc", 2 * values, PIXEL)
    np.testing.assert_array_equal(read(tmp_path / "mask.mrc"), np.minimum(2 * values, 1))


def cut_short(path: Path) -> None:
    write_volume(path, np.ones((BOX,) * 3), PIXEL)
    path.write_bytes(path.read_bytes()[:5000])


def not_finite(path: Path) -> None:
    write_volume(path, np.ones((BOX,) * 3), PIXEL)
    path.write_bytes(path.read_bytes()[:-4] + np.float32(np.nan).tobytes())


def packed_and_cut_short(path: Path) -> None:
    values = np.random.default_rng(0).random((BOX,) * 3)
    write_volume(path, values, PIXEL)
    path.write_bytes(gzip.compress(path.read_bytes())[:9000])


def in_the_corner(path: Path) -> None:
    values = np.zeros((BOX,) * 3)
    values[0, 0, 0] = 1
    write_volume(path, values, PIXEL)


def complex_values(path: Path) -> None:
    with mrcfile.new(path) as file:
        file.set_data(np.ones((BOX,) * 3, np.complex64))


def extended_header_of(n_bytes: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        write_volume(path, np.ones((BOX,) * 3), PIXEL)
        raw = bytearray(path.read_bytes())
        raw[92:96] = n_bytes.to_bytes(4, "little")
        path.write_bytes(gzip.compress(raw))

    return write


BAD_MASKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (lambda p: p.mkdir(), "no mask"),
    "empty file": (lambda p: p.write_bytes(b""), "not readable"),
    "not MRC": (lambda p: p.write_text("mask" * 1000), "not readable"),
    "cut short": (cut_short, "not readable"),
    "packed and cut short": (packed_and_cut_short, "not readable"),
    "another box": (lambda p: write_volume(p, np.ones((8,) * 3), PIXEL), "8 x 8 x 8 voxels"),
    "a slice": (lambda p: write_volume(p, np.ones((1, BOX, BOX)), PIXEL), "1 x 16 x 16 voxels"),
    "NaN": (not_finite, "not finite"),
    "huge extended header": (extended_header_of(2**31 - 1), "extended header of 2147483647"),
    "extended header beyond": (extended_header_of(2**20), "fewer than the"),
    "complex": (complex_values, "complex"),
    "empty": (lambda p: write_volume(p, np.zeros((BOX,) * 3), PIXEL), "is empty"),
    "in the corner": (in_the_corner, "is empty within the window"),
}


def test_bytes_behind_the_voxels_are_not_even_unpacked(tmp_path: Path) -> None:
    """As in stacks. Were all of it unpacked, the damaged end would be met."""
    path = tmp_path / "mask.mrc"
    write_volume(path, np.ones((BOX,) * 3), PIXEL)
    packed = gzip.compress(path.read_bytes() + bytes(2**22))
    path.write_bytes(packed[: len(packed) // 2])
    assert (np.asarray(read(path)) > 0.5).any()


@pytest.mark.parametrize("case", BAD_MASKS)
def test_bad_mask(case, tmp_path) -> None:
    write, message = BAD_MASKS[case]
    mask = tmp_path / "mask.mrc"
    write(mask)
    with pytest.raises(TemporemError) as error:
        read(mask)
    assert message in str(error.value)
    assert str(mask) in str(error.value)
