"""Movies that are folders of pictures, one a frame, in natural order of their names."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.microscope.movie import FieldMovie
from temporem.io.microscope.tiff_movie import read_tiff
from temporem.io.signatures import PICTURE_SUFFIXES, recognise


def pictures(folder: Path) -> list[Path]:
    """List the pictures of a folder, 2 before 10; those with one suffix only."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
    kinds = {path.suffix.lower() for path in found}
    if len(kinds) > 1:
        raise TemporemError(
            f"{folder} holds pictures of several kinds: {', '.join(sorted(kinds))}",
            expected="one movie in a folder",
        )
    return sorted(found, key=_natural)


def read_folder(path: Path) -> FieldMovie:
    """Open a folder of TIFF, PNG or JPEG pictures as a movie. Colours become grey."""
    files = pictures(path)
    if not files:
        raise TemporemError(
            f"{path} holds no pictures", expected="TIFF, PNG or JPEG files, one a frame"
        )
    first = _open(files[0])

    def read(start: int, stop: int) -> np.ndarray:
        return np.stack([_open(file).read(0, 1)[0] for file in files[start:stop]])

    if first.n_frames != 1:
        raise TemporemError(
            f"{files[0]} has {first.n_frames} frames",
            expected="a folder with one frame in a file",
            hint="name the files instead of the folder",
        )
    return FieldMovie(
        path=path,
        format="image sequence",
        shape=(len(files), *first.shape[1:]),
        read=read,
        pixel_size_angstrom=first.pixel_size_angstrom,
        pixel_size_fault=first.pixel_size_fault,
    )


def read_picture(path: Path) -> FieldMovie:
    """Open a PNG or JPEG picture as a movie of one frame."""
    from PIL import Image

    def grey(_: int, __: int) -> np.ndarray:
        with Image.open(path) as image:
            wide = image.mode.startswith(("I", "F"))
            return np.asarray(image if wide else image.convert("L"))[None]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
    except Exception as error:
        raise TemporemError(
            f"{path} is not a readable picture ({type(error).__name__}: {error})",
            expected="a PNG or JPEG picture",
        ) from error
    return FieldMovie(path=path, format="picture", shape=(1, height, width), read=grey)


def _open(path: Path) -> FieldMovie:
    found = recognise(path)
    return read_tiff(path) if found is not None and found.key == "tiff" else read_picture(path)


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(p[:18]), p) if i % 2 else (0, p) for i, p in enumerate(parts)]
