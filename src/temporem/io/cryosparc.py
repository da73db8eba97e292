"""Files of cryoSPARC (``.cs``): a table of particles as a structured numpy array."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.files import atomic_write

UID = "uid"
POSE, SHIFT, SHIFT_PIXEL = "alignments3D/pose", "alignments3D/shift", "alignments3D/psize_A"
"""Rotation vector, shift in pixels, and the size of these pixels."""

_MOST_BYTES = 2**32
_MOST_HEADER = 2**20  # bytes of the description of columns


def read_particles(path: Path) -> np.ndarray:
    """Read the particles of a ``.cs`` file: a structured array ``(N,)``.

    Raises:
        TemporemError: no such file, too large, or no table of plain values. Nothing is unpickled.
    """
    if not path.is_file():
        raise TemporemError(f"{path} is not a file", expected="a .cs file of cryoSPARC")
    if path.stat().st_size > _MOST_BYTES:
        raise TemporemError(f"{path} is larger than {_MOST_BYTES >> 30} GiB")
    try:
        with path.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise TemporemError(
                    f"{path} is not a numpy file",
                    expected="a .cs file of cryoSPARC in numpy's format",
                    hint="save it with cryosparc-tools: Dataset.load(FILE).save(OTHER)",
                )
            file.seek(0)
            table = np.lib.format.read_array(file, allow_pickle=False, max_header_size=_MOST_HEADER)
    except OSError as error:
        raise TemporemError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise TemporemError(
            f"{path} is not readable ({error})", expected="a .cs file of cryoSPARC"
        ) from None
    if table.ndim != 1 or table.dtype.names is None or UID not in table.dtype.names:
        raise TemporemError(
            f"{path} is no table with the column {UID}", expected="a .cs file of cryoSPARC"
        )
    return table


def write_particles(path: Path, table: np.ndarray, *, overwrite: bool = False) -> None:
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
