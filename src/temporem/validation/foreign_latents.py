"""Latents of a file, brought into the order of a dataset's frames."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from temporem.errors import TemporemError
from temporem.frames.dataset import STAR_NAME, Dataset
from temporem.io.latent_files import LatentFile, read_latent_file
from temporem.io.star import StarTable, read_star
from temporem.io.star_rows import particles_block
from temporem.runs.source_rows import SOURCE_ROW, SOURCE_UID

Rows = Literal["auto", "dataset", "source"]
"""Order of a file's rows: that of ``particles.star``, or of the file it was imported from."""


def latents_of_frames(dataset: Dataset, path: str | Path, rows: Rows = "auto") -> np.ndarray:
    """Read latents for every frame of a dataset, float64 ``(N, q)``.

    Particles are matched by movie and frame or by uid where the file names them, else by the order
    of rows.

    Args:
        dataset: the frames.
        path: file of latents.
        rows: order of the rows of a file that does not name its particles. ``auto`` takes either
            where only one is possible.

    Raises:
        TemporemError: a file that cannot be read, lacks frames, or could be in either order.
    """
    file = read_latent_file(path)
    if file.movies is not None and file.numbers is not None:
        keys = list(zip(file.movies, file.numbers.tolist(), strict=True))
        wanted = zip(dataset.particle_names, dataset.frame_numbers.tolist(), strict=True)
        return _by_key(file, keys, list(wanted), "movies and frame numbers")
    table = _table(dataset)
    if file.uids is not None and SOURCE_UID in table:
        uids = [int(text) for text in table.strings(SOURCE_UID)]
        return _by_key(file, file.uids.tolist(), uids, "uids")
    source = table.ints(SOURCE_ROW) if SOURCE_ROW in table else None
    return file.values[_rows(dataset, file, source, rows)]


def _rows(dataset: Dataset, file: LatentFile, source: np.ndarray | None, rows: Rows) -> np.ndarray:
    """Row of the file of every frame, by order."""
    here = np.arange(dataset.n_frames)
    as_dataset = len(file) == dataset.n_frames
    once = source is not None and len(np.unique(source)) == len(source)
    as_source = source is not None and once and len(file) > source.max()
    if source is not None and as_dataset and as_source and np.array_equal(source, here):
        rows = "dataset"  # both orders are one
    if rows == "auto" and as_dataset and as_source:
        raise TemporemError(
            f"{file.path} has a row for each frame, and may be in the order of "
            f"{dataset.path / STAR_NAME} or of the file that this was imported from",
            expected="one order",
            hint="pass --rows dataset or --rows source",
        )
    if as_dataset and rows in ("auto", "dataset"):
        return here
    if as_source and source is not None and rows in ("auto", "source"):
        return source
    raise TemporemError(
        f"{file.path} has latents of {len(file)} particles, and {dataset.path} has "
        f"{dataset.n_frames} frames",
        expected="a row for every frame, in the same order",
        hint="a table of frames (.star) or a .cs file names its particles",
    )


def _by_key(
    file: LatentFile, keys: Sequence[Hashable], wanted: Sequence[Hashable], what: str
) -> np.ndarray:
    """Latents of the wanted keys."""
    place = {key: row for row, key in enumerate(keys)}
    if len(place) < len(keys):
        raise TemporemError(f"{file.path} names a particle twice", expected="each one once")
    missing = [key for key in wanted if key not in place]
    if missing:
        raise TemporemError(
            f"{file.path} lacks {len(missing)} of {len(wanted)} frames, the first {missing[0]}",
            expected=f"the {what} of the dataset",
        )
    return file.values[[place[key] for key in wanted]]


def _table(dataset: Dataset) -> StarTable:
    """The rows of the dataset's file; empty where it has none."""
    path = dataset.path / STAR_NAME
    if not path.is_file():
        return StarTable({}, where=str(path))
    return read_star(path)[particles_block(path)]
