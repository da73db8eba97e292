"""Volumes and masks as MRC files."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from pathlib import Path
from typing import IO, cast

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.mrcinterpreter import MrcInterpreter
from mrcfile.utils import byte_order_from_machine_stamp, dtype_from_mode

from temporem.errors import TemporemError
from temporem.io.files import atomic_write

MRC_HEADER_BYTES = 1024
_MAX_EXTENDED_BYTES = 2**24


def write_volume(
    path: str | Path,
    volume: np.ndarray,
    pixel_size_angstrom: float,
    *,
    origin_angstrom: float = 0.0,
) -> None:
    """Write a volume ``(z, y, x)`` as float32, whole or not at all.

    Args:
        path: an ``.mrc`` file; one that exists is replaced.
        volume: ``(D, D, D)``.
        pixel_size_angstrom: edge of a voxel, Å.
        origin_angstrom: where the first voxel is, Å along every axis; puts a cropped volume where
            it was.

    Raises:
        TemporemError: a path that cannot be written (see :func:`atomic_write`).
    """
    with atomic_write(path) as temporary, mrcfile.new(temporary, overwrite=True) as file:
        file.set_data(np.ascontiguousarray(volume, dtype=np.float32))
        file.voxel_size = pixel_size_angstrom
        file.header.origin = (origin_angstrom,) * 3


def read_volume(
    path: str | Path, box: int, *, pixel_size_angstrom: float | None = None, what: str = "volume"
) -> np.ndarray:
    """Read a volume ``(box, box, box)``, float32.

    Args:
        path: an MRC file.
        box: edge that it must have, voxels.
        pixel_size_angstrom: voxel size that it must have, Å; None takes any.
        what: what messages call it.

    Raises:
        TemporemError: no such file, not an MRC volume, of another size, complex or not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise TemporemError(f"no {what} {path}", expected="an .mrc file")
    try:
        raw = _read_bytes(path, box, what)
        with MrcInterpreter(iostream=io.BytesIO(raw), permissive=False) as file:
            spacing = float(file.voxel_size.x)
            values = np.array(file.data).transpose(_axes(file.header))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise TemporemError(
            f"{what} {path} is not readable ({error})", expected="a whole .mrc file"
        ) from None
    if pixel_size_angstrom and not np.isclose(spacing, pixel_size_angstrom, rtol=1e-4):
        raise TemporemError(
            f"{what} {path} has voxels of {spacing:g} Å", expected=f"{pixel_size_angstrom:g} Å"
        )
    if np.iscomplexobj(values):
        raise TemporemError(f"{what} {path} has complex values", expected="real ones")
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise TemporemError(f"{what} {path} has values that are not finite", expected="numbers")
    return values


def _axes(header: np.recarray) -> tuple[int, ...]:
    """Where z, y and x are among sections, rows and columns; old files do not say."""
    found = [int(header[name]) for name in ("maps", "mapr", "mapc")]
    if found == [0, 0, 0]:
        return 0, 1, 2
    if sorted(found) != [1, 2, 3]:
        raise ValueError(f"its axes are {found[2]}, {found[1]}, {found[0]}, not x, y and z")
    return tuple(found.index(axis) for axis in (3, 2, 1))


def _read_bytes(path: Path, box: int, what: str) -> bytes:
    """The bytes of a volume, unpacked; no more of them than a volume of the box has.

    Raises:
        TemporemError: another size.
        ValueError: a header that is none, or more or fewer bytes than it declares.
    """
    with _unpacked(path) as file:
        start = file.read(MRC_HEADER_BYTES)
        if len(start) < MRC_HEADER_BYTES:
            raise ValueError(f"it has {len(start)} bytes")
        stamp = np.frombuffer(start, HEADER_DTYPE)[0]["machst"]
        order = byte_order_from_machine_stamp(stamp)
        header = np.frombuffer(start, HEADER_DTYPE.newbyteorder(order))[0]
        size = tuple(int(header[axis]) for axis in ("nz", "ny", "nx"))
        if size != (box,) * 3:
            raise TemporemError(
                f"{what} {path} has {' x '.join(map(str, size))} voxels",
                expected=f"{box} x {box} x {box}, as the images",
            )
        extended = int(header["nsymbt"])
        if not 0 <= extended <= _MAX_EXTENDED_BYTES:
            raise ValueError(f"it declares an extended header of {extended} bytes")
        declared = extended + box**3 * dtype_from_mode(header["mode"]).itemsize
        rest = file.read(declared + 1)
    if len(rest) != declared:
        much = "more" if len(rest) > declared else "fewer"
        raise ValueError(f"it has {much} than the {MRC_HEADER_BYTES + declared} bytes it declares")
    return start + rest


def _unpacked(path: Path) -> IO[bytes]:
    """A file opened for reading, unpacked as it is read where gzip or bzip2 has packed it."""
    with path.open("rb") as file:
        magic = file.read(2)
    if magic == b"\x1f\x8b":
        return cast("IO[bytes]", gzip.open(path))
    return cast("IO[bytes]", bz2.open(path)) if magic == b"BZ" else path.open("rb")


def read_mask(path: str | Path, box: int) -> np.ndarray:
    """Read a real-space mask ``(box, box, box)``, float32, values cut to 0 … 1.

    Raises:
        TemporemError: as :func:`read_volume`, or an empty mask.
    """
    values = read_volume(path, box, what="mask")
    if not (values > 0.5).any():
        raise TemporemError(f"mask {path} is empty", expected="voxels above 0.5")
    return values.clip(0, 1)
