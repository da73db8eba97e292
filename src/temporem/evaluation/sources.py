"""Reconstructions that can be evaluated: runs, anything with volumes, and folders of MRC files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.io.mrc import read_volume
from temporem.physics.fourier import FourierSupport

_FRAME = re.compile(r"frame_(\d{1,18})(?:_.+)?(?<!_sd)\.(mrc|map)")
_SUFFIXES = (".mrc", ".map")


class VolumeFolder:
    """Volumes of frames as MRC files, written by any program.

    A file ``frame_<row>.mrc`` is the volume of a row of ``particles.star``, counted from 0; rows
    may be missing, and words may follow the row, as in ``temporem export``. A folder without such
    names has one file for each row, in the natural order of the names, as cryoDRGN's
    ``vol_000.mrc``. Volumes are in the reference frame of the poses.

    Args:
        path: the folder.
        n_frames: N rows of ``particles.star``.
        box: edge of the volumes, voxels.
        pixel_size_angstrom: voxel size, Å.

    Attributes:
        rows: the rows that have a volume, ascending.

    Raises:
        TemporemError: no volumes, or volumes that are not those of N frames.
    """

    def __init__(self, path: Path, n_frames: int, box: int, pixel_size_angstrom: float) -> None:
        self._pixel_size_angstrom = pixel_size_angstrom
        self._support = FourierSupport(box, 3)
        self._files = _files_by_row(path, n_frames)
        self.rows = np.array(sorted(self._files), dtype=np.int64)

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the volumes of frames ``(B,)``: complex64 ``(B, P)``.

        Raises:
            TemporemError: a file that is not readable, or of another box or voxel size.
        """
        box, pixel_size = self._support.box, self._pixel_size_angstrom
        volumes = [
            read_volume(self._files[row], box, pixel_size_angstrom=pixel_size)
            for row in rows.tolist()
        ]
        return self._support.fft(torch.from_numpy(np.stack(volumes)))


def has_volumes(path: Path) -> bool:
    """True if a folder holds MRC files."""
    return path.is_dir() and any(file.suffix in _SUFFIXES for file in path.iterdir())


def _files_by_row(path: Path, n_frames: int) -> dict[int, Path]:
    files = [file for file in path.iterdir() if file.suffix in _SUFFIXES]
    named = {file: _FRAME.fullmatch(file.name) for file in files}
    by_row: dict[int, Path] = {}
    for file, match in sorted(named.items()):
        if match is not None and by_row.setdefault(int(match[1]), file) != file:
            raise TemporemError(
                f"{by_row[int(match[1])]} and {file.name} are of one row",
                expected="one file for each row",
            )
    if not by_row and len(files) == n_frames:
        return dict(enumerate(sorted(files, key=lambda file: _natural_order(file.name))))
    if not by_row:
        raise TemporemError(
            f"{path} holds {len(files)} MRC files without a row in their names",
            expected=f"frame_<row>.mrc, or one file for each of the {n_frames} frames",
        )
    if max(by_row) >= n_frames:
        raise TemporemError(
            f"{by_row[max(by_row)]} names a row that the dataset does not have",
            expected=f"rows 0 to {n_frames - 1}",
            hint="name the dataset that the volumes were made from",
        )
    return by_row


def _natural_order(name: str) -> list[tuple[int, str]]:
    """Sort key that puts vol_2 before vol_10."""
    parts = re.split(r"(\d+)", name)
    numbers = [part.lstrip("0") if i % 2 else part for i, part in enumerate(parts)]
    return [(len(part) if i % 2 else 0, part) for i, part in enumerate(numbers)]
