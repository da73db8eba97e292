"""Volumes as MRC files."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np

from temporem.data.files import atomic_write


def write_volume(path: str | Path, volume: np.ndarray, pixel_size_angstrom: float) -> None:
    """Write a volume ``(z, y, x)`` as float32, whole or not at all.

    Args:
        path: an ``.mrc`` file; one that exists is replaced.
        volume: ``(D, D, D)``.
        pixel_size_angstrom: edge of a voxel, Å.

    Raises:
        TemporemError: a path that cannot be written (see :func:`atomic_write`).
    """
    with atomic_write(path) as temporary, mrcfile.new(temporary, overwrite=True) as file:
        file.set_data(np.ascontiguousarray(volume, dtype=np.float32))
        file.voxel_size = pixel_size_angstrom
