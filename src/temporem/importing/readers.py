"""Readers of particle images of other programs, one each.

To add a format, write a function that makes :class:`ForeignParticles` of its files, and put it into
the list below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from temporem.errors import TemporemError
from temporem.importing.cryosparc import read_cryosparc
from temporem.importing.relion import read_relion
from temporem.importing.stacks import STACK_SUFFIXES, read_stacks, with_cryodrgn, with_csv
from temporem.importing.table import ForeignParticles, Given
from temporem.io.csv_table import read_csv
from temporem.io.signatures import refuse_foreign
from temporem.io.star import StarTable

_PACKED = (".gz", ".bz2", ".zip", ".xz")
_CSV, _CRYODRGN = ".csv", (".pkl", ".npz")


@dataclass(frozen=True)
class ForeignReader:
    """Reads one format of particle images.

    Attributes:
        name: what it reads, for messages: ``one RELION .star file``.
        suffixes: how names of its files end.
        read: reads files, given what the user says of the images.
        takes_several: several files may describe one set of images.
        takes_folders: a folder may stand for the files in it.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Sequence[Path], Given], ForeignParticles]
    takes_several: bool = False
    takes_folders: bool = False

    def recognises(self, path: Path) -> bool:
        """Tell from the name of a file if it has this format."""
        return path.suffix in self.suffixes or (self.takes_folders and path.is_dir())


FOREIGN_READERS: list[ForeignReader] = [
    ForeignReader("one RELION .star file", (".star",), read_relion),
    ForeignReader("the .cs files of one cryoSPARC job", (".cs",), read_cryosparc, True),
    ForeignReader("image stacks or folders of them", STACK_SUFFIXES, read_stacks, True, True),
]
"""All readers of images. The first that recognises a file reads it."""


def read_foreign(files: Sequence[Path], given: Given) -> tuple[ForeignParticles, StarTable | None]:
    """Read images by the reader of their format, and add what files of poses, CTF and movies say.

    Args:
        files: files of one format of images, and any of ``.csv``, ``.pkl`` and ``.npz``.
        given: what the user says of the images.

    Returns:
        The images, and the CSV file if there is one.

    Raises:
        TemporemError: files of no format, or of several.
    """
    additions = [file for file in files if file.suffix in (_CSV, *_CRYODRGN)]
    images = [file for file in files if file not in additions]
    found = {id(reader): reader for reader in map(_reader_of, images)}
    if not found:
        raise TemporemError("no images to import", expected=_formats())
    (reader, *others) = found.values()
    if others or (len(images) > 1 and not reader.takes_several):
        raise TemporemError(
            "several tables of images",
            expected=_formats(),
            hint="stacks that a table names are found by themselves",
        )
    particles, csv = reader.read(images, given), None
    for file in additions:
        if file.suffix in _CRYODRGN:
            particles = with_cryodrgn(particles, file, given)
            continue
        if csv is not None:
            raise TemporemError("several CSV files", expected="one with all columns")
        csv = read_csv(file)
        particles = with_csv(particles, csv, given)
    return particles, csv


def _reader_of(file: Path) -> ForeignReader:
    if not file.exists():
        raise TemporemError(f"{file} does not exist", expected=_formats())
    for reader in FOREIGN_READERS:
        if reader.recognises(file):
            return reader
    if file.suffix in _PACKED:
        raise TemporemError(f"{file} is packed", expected="files as they are", hint="unpack it")
    endings = [suffix for reader in FOREIGN_READERS for suffix in reader.suffixes]
    expected = f"a name that ends in {', '.join((*endings, _CSV, *_CRYODRGN))}"
    refuse_foreign(file, expected=expected, but=("star", "mrc", "npy", "pickle", "zip"))
    raise TemporemError(f"{file}: its name does not tell what it is", expected=expected)


def _formats() -> str:
    return ", or ".join(reader.name for reader in FOREIGN_READERS)
