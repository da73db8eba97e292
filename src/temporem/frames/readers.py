"""Readers of movie formats, one each.

To add a format, write a reader and put it into the list below, or call :func:`register_reader`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from temporem.errors import TemporemError
from temporem.frames.dataset import STAR_NAME, Dataset, read_star_folder
from temporem.io.signatures import refuse_foreign


@dataclass(frozen=True)
class Reader:
    """Reads one format of movies.

    Attributes:
        name: what it reads, for messages: ``a folder with particles.star``.
        recognises: tells quickly, from names and first bytes, whether a path has this format.
        read: reads a path that it recognises; raises a TemporemError where the data are damaged.
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Dataset]


STAR_FOLDER = Reader(
    name=f"a dataset folder with {STAR_NAME}",
    recognises=lambda path: (path / STAR_NAME).is_file(),
    read=read_star_folder,
)

READERS: list[Reader] = [
    STAR_FOLDER,
]
"""All readers. The first that recognises a path reads it."""


def register_reader(reader: Reader) -> None:
    """Register a reader for :func:`read_dataset`, after those already registered.

    Raises:
        TemporemError: another reader has that name.

    Example:
        >>> tm.register_reader(NPZ)  # the reader in docs/extending.md
    """
    if reader in READERS:
        return
    if any(known.name == reader.name for known in READERS):
        raise TemporemError(f"there is a reader of {reader.name} already")
    READERS.append(reader)


def read_dataset(path: str | Path) -> Dataset:
    """Read and check the movies at a path, in any known format.

    Args:
        path: a folder or a file.

    Raises:
        TemporemError: nothing is there, its format is not known, or its data cannot be used.

    Example:
        >>> data = tm.read_dataset("movies")
        >>> data.n_movies, data.n_frames, data.box
        (100, 1000, 64)
    """
    path = Path(path)
    for reader in READERS:
        if reader.recognises(path):
            return reader.read(path)
    expected = " or ".join(reader.name for reader in READERS)
    if path.is_file() and any(reader.recognises(path.parent) for reader in READERS):
        raise TemporemError(
            f"{path} is one file of a folder",
            expected=expected,
            hint=f"name the folder, {path.parent}; or import it, if another program wrote it",
        )
    refuse_foreign(path, expected=expected)
    raise TemporemError(
        f"{path} is not a dataset" if path.exists() else f"{path} does not exist",
        expected=expected,
        hint="make one with temporem simulate, or of data of yours with temporem import",
    )
