"""Image stacks in MRC files, read a few images at a time and written as a stream."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from temporem.errors import TemporemError
from temporem.io.files import atomic_write

_HEADER_BYTES = HEADER_DTYPE.itemsize
_PIXEL_TYPES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}


@dataclass(frozen=True)
class Stack:
    """Images ``(N, y, x)`` in a file, which is open only while some are read: there may be many.

    Attributes:
        path: of the file.
        shape: ``(N, y, x)``.
        pixel: type and byte order.
        offset: where the first begins, bytes.
        pixel_size_angstrom: Å, 0 where none is recorded.
    """

    path: Path
    shape: tuple[int, int, int]
    pixel: np.dtype
    offset: int
    pixel_size_angstrom: float

    @property
    def images(self) -> np.memmap:
        """All of them in a read-only memory map."""
        return np.memmap(self.path, self.pixel, "r", self.offset, self.shape)

    def read(self, sections: np.ndarray) -> np.ndarray:
        """Some images, ``(n, y, x)`` float32, read from the file and not through a map.

        Pages of a map that were looked at count as memory of the process, in the end all of them.

        Raises:
            TemporemError: the file is gone or has become shorter.
        """
        n_images, height, width = self.shape
        pixels = np.empty((len(sections), height, width), dtype=np.float32)
        size = height * width
        ends = np.flatnonzero(np.diff(sections) != 1) + 1
        try:
            with self.path.open("rb") as file:
                for part in np.split(np.arange(len(sections)), ends):
                    first = int(sections[part[0]])
                    file.seek(self.offset + first * size * self.pixel.itemsize)
                    read = np.fromfile(file, self.pixel, len(part) * size)
                    if len(read) < len(part) * size:
                        raise TemporemError(
                            f"{self.path} ends before image {first + len(read) // size + 1}",
                            expected=f"the {n_images} images that it had",
                            hint="copy it again",
                        )
                    pixels[part[0] : part[-1] + 1] = read.reshape(-1, height, width)
        except OSError as error:
            raise TemporemError(f"cannot read {self.path}: {error.strerror}") from error
        return pixels


def open_stack(path: str | Path) -> Stack:
    """Open an ``.mrcs`` or ``.mrc`` file as a stack of images, without reading the pixels.

    Sections along z are the images, whatever the header says of volumes. A missing ``MAP`` stamp
    and bytes after the pixels are tolerated. What the header declares is held against the size of
    the file.

    Raises:
        TemporemError: no such file, not an MRC file, pixels that are not real numbers, or fewer
            bytes than the header declares.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise TemporemError(f"{path} is not a file", expected="an MRC image stack")
        file_bytes = path.stat().st_size
        with path.open("rb") as file:
            raw = file.read(_HEADER_BYTES)
    except OSError as error:
        raise TemporemError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) < _HEADER_BYTES:
        raise TemporemError(
            f"{path} has {len(raw)} bytes", expected=f"an MRC header of {_HEADER_BYTES} bytes"
        )

    header, byte_order = _decode_header(raw)
    nx, ny, nz, mode = (int(header[name]) for name in ("nx", "ny", "nz", "mode"))
    offset = _HEADER_BYTES + int(header["nsymbt"])
    if min(nx, ny, nz) < 1 or offset < _HEADER_BYTES:
        raise TemporemError(
            f"{path} declares {nx} x {ny} x {nz} pixels", expected="an MRC image stack"
        )
    if mode not in _PIXEL_TYPES:
        raise TemporemError(
            f"{path} has MRC mode {mode}",
            expected=f"real pixels (mode {', '.join(map(str, _PIXEL_TYPES))})",
        )
    pixel = np.dtype(_PIXEL_TYPES[mode]).newbyteorder(byte_order)
    declared = offset + nx * ny * nz * pixel.itemsize
    if declared > file_bytes:
        raise TemporemError(
            f"{path} is cut short: it has {file_bytes} bytes",
            expected=f"{declared} bytes for {nz} images of {nx} x {ny} pixels",
            hint="copy it again",
        )
    return Stack(path, (nz, ny, nx), pixel, offset, _pixel_size(header))


def write_stack(path: str | Path, blocks: Iterable[np.ndarray], pixel_size_angstrom: float) -> int:
    """Write blocks of images ``(n, D, D)`` one after another as float32; returns their number.

    Only one block is in memory at a time. The file is an MRC image stack (mode 2, space group 0).

    Raises:
        TemporemError: a path that cannot be written (see :func:`atomic_write`).
        ValueError: no images, or blocks of different shape.
    """
    n_images, shape = 0, (0, 0)
    smallest, largest, total = math.inf, -math.inf, 0.0
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(bytes(_HEADER_BYTES))
        for block in blocks:
            pixels = np.ascontiguousarray(block, dtype="<f4")
            if pixels.ndim != 3 or (n_images > 0 and pixels.shape[1:] != shape):
                raise ValueError(f"block of shape {pixels.shape} after {n_images} images {shape}")
            if pixels.size == 0:
                continue
            n_images, shape = n_images + len(pixels), pixels.shape[1:]
            smallest = min(smallest, float(pixels.min()))
            largest = max(largest, float(pixels.max()))
            total += float(pixels.sum(dtype=np.float64))
            file.write(pixels.data)
        if n_images == 0:
            raise ValueError("no images to write")
        header = _stack_header((n_images, *shape), pixel_size_angstrom)
        header["dmin"], header["dmax"] = smallest, largest
        header["dmean"] = total / (n_images * math.prod(shape))
        header["rms"] = -1  # not determined
        file.seek(0)
        file.write(header.tobytes())
    return n_images


def _decode_header(raw: bytes) -> tuple[np.void, Literal["<", ">"]]:
    """Header and byte order. Old files lack the machine stamp, but width and mode fit in 16 bits.

    A header that makes sense in neither order is described as what nearly all files are.
    """
    little, big = (np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0] for order in "<>")
    return (big, ">") if _makes_sense(big) and not _makes_sense(little) else (little, "<")


def _makes_sense(header: np.void) -> bool:
    return all(0 <= int(header[name]) < 2**16 for name in ("nx", "mode"))


def _pixel_size(header: np.void) -> float:
    """Cell length over sampling along x, or 0 where either is missing or meaningless."""
    length, samples = float(header["cella"]["x"]), int(header["mx"])
    if samples <= 0 or not math.isfinite(length) or length <= 0:
        return 0.0
    return length / samples


def _stack_header(shape: tuple[int, ...], pixel_size_angstrom: float) -> np.ndarray:
    nz, ny, nx = shape
    header = np.zeros((), dtype=HEADER_DTYPE.newbyteorder("<"))
    header["nx"], header["ny"], header["nz"] = nx, ny, nz
    header["mx"], header["my"], header["mz"] = nx, ny, 1
    header["mode"] = 2
    header["ispg"] = 0  # images, not a volume
    header["cella"] = tuple(n * pixel_size_angstrom for n in (nx, ny, 1))
    header["cellb"] = (90.0, 90.0, 90.0)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["map"] = b"MAP "
    header["machst"] = (0x44, 0x44, 0, 0)
    header["nversion"] = 20141
    return header
