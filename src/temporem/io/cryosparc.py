"""cryoSPARC's ``.cs`` files: tables in NumPy's array format, without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from temporem.errors import TemporemError
from temporem.io.files import atomic_write

UID = "uid"
POSE, SHIFT, SHIFT_PIXEL = "alignments3D/pose", "alignments3D/shift", "alignments3D/psize_A"
"""Rotation vector, shift in pixels, and the size of these pixels."""

MAX_CS_BYTES = 2**31
"""Larger files are refused: a million particles take about a third of this."""

_MAGIC, _COMPRESSED_MAGIC = b"\x93NUMPY", b"\x94CSDAT"
_EXPECTED = "a .cs file of cryoSPARC in NumPy's format"
_MOST_HEADER_BYTES = 2**16


class CsTable:
    """Columns of N particles.

    Args:
        path: the file, for messages.
        records: structured array ``(N,)``.

    Attributes:
        path, records: as given.
    """

    def __init__(self, path: Path, records: np.ndarray) -> None:
        self.path = path
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __contains__(self, field: str) -> bool:
        return field in self.fields

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.records.dtype.names or ()

    @property
    def scalar_fields(self) -> list[str]:
        """Names of the columns with one number or text for each particle."""
        return [name for name in self.fields if self.records.dtype[name].shape == ()]

    def require(self, *fields: str) -> None:
        """Raise a TemporemError that names every missing column."""
        missing = [field for field in fields if field not in self]
        if missing:
            raise TemporemError(
                f"{self.path} lacks {' and '.join(missing)}",
                expected=f"the columns {', '.join(fields)}",
                hint="name the passthrough file of the job too",
            )

    def texts(self, field: str) -> np.ndarray:
        """A column of text, ``(N,)`` ``StringDType``.

        Raises:
            TemporemError: it holds other things.
        """
        values = self._column(field, "SU", 1, "text")
        if values.dtype.kind == "S":
            try:
                values = np.char.decode(values, "utf-8")
            except UnicodeDecodeError:
                raise TemporemError(f"{self.path}: {field} is not UTF-8 text") from None
        return values.astype(np.dtypes.StringDType())

    def numbers(self, field: str, width: int = 1) -> np.ndarray:
        """A column of finite numbers, float64 ``(N,)`` or ``(N, width)``.

        Raises:
            TemporemError: it has another shape or holds other things; the message names the row.
        """
        values = self._column(field, "fiu", width, "numbers").astype(np.float64)
        finite = np.asarray(np.isfinite(values).reshape(len(self), -1).all(axis=1))
        self.check(field, finite, "finite numbers")
        return values

    def integers(self, field: str, width: int = 1) -> np.ndarray:
        """A column of whole numbers as they are, ``(N,)`` or ``(N, width)``."""
        return self._column(field, "iu", width, "whole numbers")

    def check(self, field: str, valid: np.ndarray, expected: str) -> None:
        """Raise a TemporemError about the first row where ``valid (N,)`` is false."""
        if not valid.all():
            row = int(np.argmin(valid))
            value = np.array2string(np.asarray(self.records[field][row]), threshold=8)
            raise TemporemError(
                f"{self.path} row {row} (counted from 0): {field} is {ascii(value)[1:-1]}",
                expected=expected,
            )

    def joined(self, other: CsTable) -> CsTable:
        """Add the columns that another file has for the same particles, found by ``uid``.

        Raises:
            TemporemError: a particle is missing there, or either file names one twice.
        """
        mine, theirs = (self.uids(), other.uids())
        order = np.argsort(theirs)
        place = np.searchsorted(theirs, mine, sorter=order).clip(max=max(len(theirs) - 1, 0))
        rows = order[place] if len(order) else np.zeros(len(mine), dtype=int)
        if not len(order) or not (theirs[rows] == mine).all():
            raise TemporemError(
                f"{other.path} lacks particles of {self.path}",
                expected="the passthrough file of the same job, with the same uids",
            )
        new = [field for field in other.fields if field not in self]
        dtype = [(f, self.records.dtype[f]) for f in self.fields]
        dtype += [(f, other.records.dtype[f]) for f in new]
        records = np.empty(len(self), dtype=np.dtype(dtype))
        for field in self.fields:
            records[field] = self.records[field]
        for field in new:
            records[field] = other.records[field][rows]
        return CsTable(self.path, records)

    def uids(self) -> np.ndarray:
        """The particles' numbers, ``(N,)``.

        Raises:
            TemporemError: a number occurs twice.
        """
        uids = self.integers(UID)
        if len(np.unique(uids)) < len(uids):
            raise TemporemError(f"{self.path} names a uid twice", expected="each particle once")
        return uids

    def _column(self, field: str, kinds: str, width: int, what: str) -> np.ndarray:
        self.require(field)
        values = np.asarray(self.records[field])
        shape = (len(self),) if width == 1 else (len(self), width)
        if values.dtype.kind not in kinds or values.shape != shape:
            raise TemporemError(
                f"{self.path}: {field} is {values.dtype} of shape {values.shape[1:] or '()'}",
                expected=f"{what}, {width} for each particle",
            )
        return values


def read_cs(path: str | Path) -> CsTable:
    """Read a ``.cs`` file.

    Raises:
        TemporemError: no such file, another format, cut short, larger than ``MAX_CS_BYTES``, or
            with objects that only pickle could read.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise TemporemError(f"{path} is not a file", expected=_EXPECTED)
        n_bytes = path.stat().st_size
        if n_bytes > MAX_CS_BYTES:
            raise TemporemError(
                f"{path} is larger than {MAX_CS_BYTES >> 20} MiB", hint="split it into parts"
            )
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
            if start == _COMPRESSED_MAGIC:
                raise TemporemError(
                    f"{path} is a compressed stream of cryosparc-tools",
                    expected=_EXPECTED,
                    hint="export the job again, or save it with cryosparc-tools in NumPy's format",
                )
            if start != _MAGIC:
                raise TemporemError(f"{path} is not a .cs file", expected=_EXPECTED)
            file.seek(0)
            count, dtype = _read_header(file, path)
            records = _read_records(file, path, count, dtype, n_bytes - file.tell())
    except OSError as error:
        raise TemporemError(f"cannot read {path}: {error.strerror}") from error
    return CsTable(path, records)


def _read_header(file: IO[bytes], path: Path) -> tuple[int, np.dtype]:
    """Number of particles and the type of their record, before any memory is taken."""
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file, max_header_size=_MOST_HEADER_BYTES)
    except Exception as error:  # the header is Python text, and fails in as many ways
        if isinstance(error, OSError):
            raise
        raise TemporemError(f"{path} has a damaged header", expected=_EXPECTED) from None
    if len(shape) != 1 or dtype.names is None or dtype.itemsize == 0:
        raise TemporemError(f"{path} holds no table of particles", expected=_EXPECTED)
    if dtype.hasobject:
        raise TemporemError(
            f"{path} holds Python objects, which only pickle reads, and pickle may run code",
            expected=_EXPECTED,
            hint="let cryoSPARC export the job again",
        )
    return shape[0], dtype


def _read_records(
    file: IO[bytes], path: Path, count: int, dtype: np.dtype, n_bytes: int
) -> np.ndarray:
    if count * dtype.itemsize > n_bytes:
        raise TemporemError(
            f"{path} is cut short: it declares {count} particles of {dtype.itemsize} bytes",
            expected=f"{count * dtype.itemsize} bytes after its header, not {n_bytes}",
            hint="copy it again",
        )
    if count == 0:
        raise TemporemError(f"{path} has no particles", expected="at least one")
    raw = file.read(count * dtype.itemsize)
    return np.frombuffer(raw, dtype, count)


def write_cs(path: Path, table: np.ndarray, *, overwrite: bool = False) -> None:
    """Write a structured array ``(N,)`` as a ``.cs`` file.

    Raises:
        TemporemError: the file exists, or the disk is full.
    """
    with (
        atomic_write(path, overwrite=overwrite, needed=table.nbytes) as temporary,
        temporary.open("wb") as file,
    ):
        np.lib.format.write_array(file, table, allow_pickle=False)


def with_poses(
    table: np.ndarray,
    rotation_vectors: np.ndarray,
    shifts: np.ndarray,
    pixel_size_angstrom: np.ndarray,
) -> np.ndarray:
    """Put 3D alignments into a table of particles; those it lacks are added as columns.

    Args:
        table: structured array ``(N,)``.
        rotation_vectors: camera to molecule, axis times angle in radians, ``(N, 3)``.
        shifts: displacement that brings the particle to the centre, pixels (x, y), ``(N, 2)``.
        pixel_size_angstrom: size of these pixels, Å, ``(N,)``.
    """
    columns = {POSE: ("<f4", (3,)), SHIFT: ("<f4", (2,)), SHIFT_PIXEL: ("<f4",)}
    names = table.dtype.names or ()
    new = [(name, *kind) for name, kind in columns.items() if name not in names]
    filled = np.zeros(len(table), dtype=np.dtype([*table.dtype.descr, *new]))
    for name in names:
        filled[name] = table[name]
    filled[POSE], filled[SHIFT], filled[SHIFT_PIXEL] = (
        rotation_vectors,
        shifts,
        pixel_size_angstrom,
    )
    return filled
