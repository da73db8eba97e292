"""Small movies in formats of which there is no specimen, by their documented layouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

MIB_TYPES = {np.dtype("u1"): "U08", np.dtype("u2"): "U16", np.dtype("u4"): "U32"}


def mib_header(number: int, pixels: np.ndarray, nanoseconds: int, kind: str = "") -> bytes:
    """The 384 bytes before a frame of one chip (Merlin manual, frame header of MQ1)."""
    height, width = pixels.shape
    stamp = f"2021-05-07T16:51:10.{nanoseconds:09d}"
    fields = [
        *("MQ1", f"{number:06d}", "00384", "01", f"{width:04d}", f"{height:04d}"),
        *(kind or MIB_TYPES[pixels.dtype], "   1x1", "01", f"{stamp[:-3]}", "0.100000", "0", "0"),
        *("1", "2.000000E+1", "5.110000E+2", *["0.000000E+0"] * 6, "3RX"),
        *["175"] * 27,
        *("MQ1A", f"{stamp}Z", "100000000ns", "12"),
    ]
    return (",".join(fields) + ",").encode().ljust(384)


def write_mib(path: Path, movie: np.ndarray, seconds: Sequence[float]) -> Path:
    """Write frames ``(T, y, x)`` of big-endian whole numbers, recorded at some seconds."""
    parts = []
    for i, (frame, when) in enumerate(zip(movie, seconds, strict=True), start=1):
        parts += [
            mib_header(i, frame, round(when * 1e9)),
            frame.astype(frame.dtype.newbyteorder(">")),
        ]
    path.write_bytes(
        b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts)
    )
    return path


def write_emd(
    path: Path, data: np.ndarray, axes: Sequence[tuple[str, str, float]], first: int = 1
) -> Path:
    """Write a file of the Berkeley Lab's form; axes are names, units and steps."""
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/movie")
        group.attrs["emd_group_type"] = 1
        group["data"] = data
        for i, (n, (name, units, step)) in enumerate(zip(data.shape, axes, strict=True)):
            vector = group.create_dataset(f"dim{i + first}", data=np.arange(n) * step)
            vector.attrs["name"], vector.attrs["units"] = name, units
    return path
