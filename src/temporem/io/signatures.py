"""Formats of files, recognised by their first bytes, to name the command that takes them."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

from temporem.errors import TemporemError

MRC_SUFFIXES = frozenset({".mrc", ".mrcs", ".map", ".st", ".rec"})
PICTURE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg"})

_HEAD_BYTES = 1024
_MRC_STAMP = slice(208, 212)
_DM_HEADER = 100  # bytes that the length which a DM file declares may leave out

_EXTRACT = "use temporem extract"
_IMPORT = "use temporem import"


class Format(NamedTuple):
    """Format of a file.

    Attributes:
        key: short name, by which a reader is chosen.
        name: name in messages, with an article.
        hint: the command or step that takes it.
    """

    key: str
    name: str
    hint: str


_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", Format("hdf5", "an HDF5 file, such as an EMD movie", _EXTRACT)),
    (b"\x89PNG\r\n\x1a\n", Format("picture", "a PNG picture", f"{_EXTRACT} with its folder")),
    (b"\xff\xd8\xff", Format("picture", "a JPEG picture", f"{_EXTRACT} with its folder")),
    (b"II*\0", Format("tiff", "a TIFF image or movie", _EXTRACT)),
    (b"MM\0*", Format("tiff", "a TIFF image or movie", _EXTRACT)),
    (b"II+\0", Format("tiff", "a BigTIFF image or movie", _EXTRACT)),
    (b"MM\0+", Format("tiff", "a BigTIFF image or movie", _EXTRACT)),
    (b"II\x97\x01", Format("ser", "an SER movie of FEI's TIA", _EXTRACT)),
    (b"JK\0\x02", Format("emi", "an EMI file of FEI's TIA", _EXTRACT)),
    (b"MQ1,", Format("mib", "a Merlin movie (.mib)", _EXTRACT)),
    (b"\x93NUMPY", Format("npy", "a NumPy array, such as a cryoSPARC .cs file", _IMPORT)),
    (b"PK\x03\x04", Format("zip", "a zip archive", "unpack it first")),
    (b"\x1f\x8b", Format("gzip", "packed by gzip", "unpack it first, with gunzip")),
    (b"BZh", Format("bzip2", "packed by bzip2", "unpack it first, with bunzip2")),
    (b"\xfd7zXZ\0", Format("xz", "packed by xz", "unpack it first, with unxz")),
    (b"GIF8", Format("gif", "a GIF picture", "export the movie as TIFF or MRC")),
    (b"SIMPLE  =", Format("fits", "a FITS file", "export the movie as TIFF or MRC")),
    (b"%PDF", Format("pdf", "a PDF document", "name the data instead")),
)
_STAR = Format("star", "a STAR file", _IMPORT)
_MRC = Format("mrc", "an MRC file", f"{_EXTRACT} for a movie, or temporem import for particles")
_PICKLE = Format(
    "pickle", "a Python pickle, such as cryoDRGN's poses", "use temporem import, with its images"
)


def recognise(path: str | Path) -> Format | None:
    """Recognise the format of a file by its first bytes; None for an unknown one or no file."""
    path = Path(path)
    try:
        if not path.is_file():
            return None
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    for magic, known in _MAGIC:
        if head.startswith(magic):
            return known
    return _structured(head, size, path.suffix.lower())


def refuse_foreign(path: str | Path, *, expected: str, but: tuple[str, ...] = ()) -> None:
    """Raise a TemporemError that names the format of a file and the command that takes it.

    A folder of pictures is a movie. MRC files without their stamp are known by name.

    Args:
        path: the file or folder; nothing happens for unknown formats and for other folders.
        expected: what should be there.
        but: keys of formats that may pass.
    """
    path = Path(path)
    found = recognise(path)
    if found is None and path.suffix.lower() in MRC_SUFFIXES and path.is_file():
        found = _MRC if path.stat().st_size >= _HEAD_BYTES else None
    if found is None and _holds_pictures(path):
        found = Format("pictures", "a folder of pictures", _EXTRACT)
    if found is not None and found.key not in but:
        raise TemporemError(f"{path} is {found.name}", expected=expected, hint=found.hint)


def _holds_pictures(folder: Path) -> bool:
    """True for a folder that holds pictures, and other files only beside them."""
    try:
        names = [path.suffix.lower() for path in folder.iterdir() if path.is_file()]
    except OSError:
        return False
    return 2 * sum(name in PICTURE_SUFFIXES for name in names) > len(names)


def _structured(head: bytes, size: int, suffix: str) -> Format | None:
    """Recognise formats whose first bytes are numbers or text."""
    if head[_MRC_STAMP] == b"MAP ":
        return _MRC
    if len(head) >= 16:
        version, endian3 = struct.unpack(">i4xi", head[:12])
        endian4 = struct.unpack(">i", head[12:16])[0]
        length3, length4 = struct.unpack(">i", head[4:8])[0], struct.unpack(">q", head[4:12])[0]
        # A big-endian MRC file of 3 or 4 columns begins alike, but its length does not fit.
        named = suffix in (".dm3", ".dm4")
        if version == 3 and endian3 in (0, 1) and (named or 0 <= size - length3 < _DM_HEADER):
            return Format("dm", "a Gatan DM3 movie", _EXTRACT)
        if version == 4 and endian4 in (0, 1) and (named or 0 <= size - length4 < _DM_HEADER):
            return Format("dm", "a Gatan DM4 movie", _EXTRACT)
        header, tvips, width, height, bits = struct.unpack("<5i", head[:20].ljust(20, b"\0"))
        if header == 256 and tvips in (1, 2) and bits in (8, 16) and min(width, height) > 0:
            return Format("tvips", "a TVIPS movie", _EXTRACT)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and size > 2:
        return _PICKLE
    text = re.sub(rb"^\xef\xbb\xbf", b"", head)
    if re.match(rb"(\s*(#[^\n]*)?\r?\n)*\s*data_", text):
        return _STAR
    return None
