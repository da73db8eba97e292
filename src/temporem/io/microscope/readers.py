"""Readers of field-of-view movies by format; to add one, write a file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from temporem.errors import TemporemError
from temporem.io.microscope.emd_movie import read_emd
from temporem.io.microscope.image_sequence import read_folder, read_picture
from temporem.io.microscope.mib_movie import read_mib
from temporem.io.microscope.movie import FieldMovie
from temporem.io.microscope.mrc_movie import movie_of_info, read_mrc
from temporem.io.microscope.tiff_movie import read_tiff
from temporem.io.microscope.vendor import vendor_reader
from temporem.io.signatures import MRC_SUFFIXES, recognise

_TIA = vendor_reader("tia", "SER/EMI")

READERS: Mapping[str, Callable[[Path], FieldMovie]] = {
    "mrc": read_mrc,
    "tiff": read_tiff,
    "picture": read_picture,
    "dm": vendor_reader("digitalmicrograph", "Gatan DM"),
    "ser": _TIA,
    "emi": _TIA,
    "hdf5": read_emd,
    "tvips": vendor_reader("tvips", "TVIPS"),
    "mib": read_mib,
}
"""Readers by the key of the format (:mod:`temporem.io.signatures`)."""


def open_movie(path: str | Path) -> FieldMovie:
    """Open a movie of the whole field of view, in any known format, without reading its pixels.

    The format is recognised by the first bytes. MRC files without their stamp are known by name.

    Raises:
        TemporemError: nothing there, a format that is not a movie's, or a damaged file.
    """
    path = Path(path)
    if path.is_dir():
        return read_folder(path)
    if not path.exists():
        raise TemporemError(f"{path} does not exist", expected="a movie, or a folder of pictures")
    if not path.is_file():
        raise TemporemError(f"{path} is a device or a pipe", expected="a movie")
    found = recognise(path)
    if found is None and path.suffix.lower() in MRC_SUFFIXES:
        return read_mrc(path)
    if found is None:
        described = movie_of_info(path)
        raise TemporemError(
            f"{path} is in no known format",
            expected="MRC, TIFF, DM3/DM4, SER/EMI, EMD, TVIPS, MIB, or a folder of pictures",
            hint=f"name {described.name} alone, and this file is read with it"
            if described
            else None,
        )
    if found.key not in READERS:
        raise TemporemError(f"{path} is {found.name}, not a movie", hint=found.hint)
    return READERS[found.key](path)
