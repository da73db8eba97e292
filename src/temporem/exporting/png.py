"""A PNG picture: one volume, or several side by side."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from temporem.errors import TemporemError
from temporem.exporting.base import ExportJob
from temporem.exporting.movie import Movie, require_ending
from temporem.io.files import atomic_write

MOST = 24
"""Volumes that one picture may show."""

_COLUMNS = 6


class Png:
    """One picture of all volumes, in rows of up to six."""

    name = "png"
    summary = "a picture of up to 24 volumes, side by side"
    resumes = False

    def check(self, out: Path) -> None:
        require_ending(out, ".png")

    def write(self, job: ExportJob) -> list[str]:
        if len(job.series) > MOST:
            raise TemporemError(
                f"{len(job.series)} volumes do not fit into one picture",
                expected=f"at most {MOST}",
                hint="choose some with --frames, or pass --format gif or mp4",
            )
        movie = Movie(job)
        picture = side_by_side(list(movie.pictures()))
        with atomic_write(job.out, overwrite=job.overwrite) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG", optimize=True)
        return movie.sentences()


def side_by_side(pictures: list[np.ndarray]) -> np.ndarray:
    """Put pictures ``(size, size, 3)`` into rows as even as they may be, on white."""
    rows = math.ceil(len(pictures) / _COLUMNS)
    columns = math.ceil(len(pictures) / rows)
    size = len(pictures[0])
    sheet = np.full((rows * size, columns * size, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet[row * size : (row + 1) * size, column * size : (column + 1) * size] = picture
    return sheet
