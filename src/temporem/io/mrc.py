"""MRC files: image stacks, read a few images at a time and written as a stream, and volumes.

Layout as in Cheng et al. (2015), MRC2014. Headers of other programs are read leniently: a
missing or odd machine stamp or ``MAP`` string is ignored, but the sizes must fit.
"""

from __future__ import annotations

import bz2
import gzip
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.io.signatures import refuse_foreign

MRC_HEADER_BYTES = HEADER_DTYPE.itemsize

_REAL_PIXELS = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}
_COMPLEX_MODES = (3, 4)
_IMOD_STAMP = 1146047817  # in the extra space, with flags behind it
_IMOD_AT = 40  # bytes of ``extra2`` before it
_IMOD_SIGNED_BYTES, _IMOD_PACKED_NIBBLES = 1, 16
_MAX_EXTENDED_BYTES = 2**24  # extended header of a volume


@dataclass(frozen=True)
class Stack:
    """Images ``(N, y, x)`` in a file that is open only while some are read.

    Attributes:
        path: the file.
        shape: ``(N, y, x)``.
        pixel: type and byte order.
        offset: where the first image begins, bytes.
        pixel_size_angstrom: Å, 0 where none is recorded.
        space_group: 0 for images, 1 for a volume, as the header says; many headers are wrong.
    """

    path: Path
    shape: tuple[int, int, int]
    pixel: np.dtype
    offset: int
    pixel_size_angstrom: float
    space_group: int = 0

    def read(self, sections: np.ndarray | None = None) -> np.ndarray:
        """Read some images, or all, ``(n, y, x)`` float32.

        They are read from the file, not through a memory map: pages of a map count as memory of the
        process.

        Raises:
            TemporemError: the file is gone or has become shorter.
        """
        n_images, height, width = self.shape
        if sections is None:
            sections = np.arange(n_images)
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

    Sections along z are the images, whatever the header says of volumes. Bytes after the pixels
    are ignored. The size that the header declares is checked against that of the file.

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
            raw = file.read(MRC_HEADER_BYTES)
    except OSError as error:
        raise TemporemError(f"cannot read {path}: {error.strerror}") from error
    refuse_foreign(path, expected="an MRC file", but=("mrc",))
    if len(raw) < MRC_HEADER_BYTES:
        raise TemporemError(
            f"{path} has {len(raw)} bytes", expected=f"an MRC header of {MRC_HEADER_BYTES} bytes"
        )

    header, byte_order = _decode_header(raw)
    nx, ny, nz, mode = (int(header[name]) for name in ("nx", "ny", "nz", "mode"))
    offset = MRC_HEADER_BYTES + int(header["nsymbt"])
    if min(nx, ny, nz) < 1 or offset < MRC_HEADER_BYTES:
        raise TemporemError(
            f"{path} declares {nx} x {ny} x {nz} pixels", expected="an MRC image stack"
        )
    if mode not in _REAL_PIXELS:
        raise TemporemError(f"{path} has MRC mode {mode}", expected=f"real pixels ({_modes()})")
    pixel = _pixel_type(header, byte_order, str(path))
    declared = offset + nx * ny * nz * pixel.itemsize
    if declared > file_bytes:
        raise TemporemError(
            f"{path} is cut short: it has {file_bytes} bytes",
            expected=f"{declared} bytes for {nz} images of {nx} x {ny} pixels",
            hint="copy it again",
        )
    return Stack(path, (nz, ny, nx), pixel, offset, _pixel_size(header), int(header["ispg"]))


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
        file.write(bytes(MRC_HEADER_BYTES))
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
        header = _new_header((n_images, *shape), pixel_size_angstrom)
        header["mz"], header["cella"]["z"] = 1, pixel_size_angstrom
        header["ispg"] = 0  # images, not a volume
        header["dmin"], header["dmax"] = smallest, largest
        header["dmean"] = total / (n_images * math.prod(shape))
        header["rms"] = -1  # not determined
        file.seek(0)
        file.write(header.tobytes())
    return n_images


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

    Example:
        >>> fit = tm.reconstruct_homogeneous(tm.read_dataset("movies"))
        >>> tm.write_volume("mean.mrc", fit.mean.numpy(), fit.grid.pixel_size_angstrom)
    """
    voxels = np.ascontiguousarray(volume, dtype="<f4")
    header = _new_header(voxels.shape, pixel_size_angstrom)
    header["ispg"] = 1
    header["origin"] = (origin_angstrom,) * 3
    header["dmin"], header["dmax"] = voxels.min(), voxels.max()
    header["dmean"] = voxels.mean(dtype=np.float64)
    header["rms"] = voxels.std(dtype=np.float64)
    needed = MRC_HEADER_BYTES + voxels.nbytes
    with atomic_write(path, needed=needed) as temporary, temporary.open("wb") as file:
        file.write(header.tobytes())
        file.write(voxels.data)


def read_volume(
    path: str | Path, box: int, *, pixel_size_angstrom: float | None = None, what: str = "volume"
) -> np.ndarray:
    """Read a volume ``(box, box, box)``, float32.

    Args:
        path: an MRC file, which gzip or bzip2 may have packed.
        box: edge that it must have, voxels.
        pixel_size_angstrom: voxel size that it must have, Å; None takes any.
        what: what messages call it.

    Raises:
        TemporemError: no such file, not an MRC volume, of another size, complex or not finite.

    Example:
        >>> tm.write_volume("ball.mrc", np.ones((16, 16, 16)), pixel_size_angstrom=4)
        >>> tm.read_volume("ball.mrc", 16).shape
        (16, 16, 16)
    """
    path = Path(path)
    if not path.is_file():
        raise TemporemError(f"no {what} {path}", expected="an .mrc file")
    try:
        with _unpacked(path) as file:
            header, values = _read_voxels(file, box, f"{what} {path}")
        values = values.transpose(_axes(header))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise TemporemError(
            f"{what} {path} is not readable ({error})", expected="a whole .mrc file"
        ) from None
    spacing = _pixel_size(header)
    if pixel_size_angstrom and not np.isclose(spacing, pixel_size_angstrom, rtol=1e-4):
        raise TemporemError(
            f"{what} {path} has voxels of {spacing:g} Å", expected=f"{pixel_size_angstrom:g} Å"
        )
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise TemporemError(f"{what} {path} has values that are not finite", expected="numbers")
    return values


def read_mask(path: str | Path, box: int) -> np.ndarray:
    """Read a real-space mask ``(box, box, box)``, float32, values cut to 0 … 1.

    Raises:
        TemporemError: as :func:`read_volume`, or an empty mask.
    """
    values = read_volume(path, box, what="mask")
    if not (values > 0.5).any():
        raise TemporemError(f"mask {path} is empty", expected="voxels above 0.5")
    return values.clip(0, 1)


def _unpacked(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked as it is read where gzip or bzip2 has packed it."""
    with path.open("rb") as file:
        magic = file.read(2)
    if magic == b"\x1f\x8b":
        return cast("IO[bytes]", gzip.open(path))
    return cast("IO[bytes]", bz2.open(path)) if magic == b"BZ" else path.open("rb")


def _read_voxels(file: IO[bytes], box: int, name: str) -> tuple[np.void, np.ndarray]:
    """Read header and voxels, as they lie in the file, and no more bytes than such a volume has.

    Bytes after the voxels are ignored, as in stacks.

    Raises:
        TemporemError: another size, or complex values.
        ValueError: not an MRC header, or fewer bytes than it declares.
    """
    raw = file.read(MRC_HEADER_BYTES)
    if len(raw) < MRC_HEADER_BYTES:
        raise ValueError(f"it has {len(raw)} bytes")
    header, byte_order = _decode_header(raw)
    mode, extended = int(header["mode"]), int(header["nsymbt"])
    size = tuple(int(header[axis]) for axis in ("nz", "ny", "nx"))
    if mode in _COMPLEX_MODES:
        raise TemporemError(f"{name} has complex values", expected="real ones")
    if mode not in _REAL_PIXELS:
        raise ValueError(f"it has MRC mode {mode}, not {_modes()}")
    if size != (box,) * 3:
        raise TemporemError(
            f"{name} has {' x '.join(map(str, size))} voxels",
            expected=f"{box} x {box} x {box}, as the images",
        )
    if not 0 <= extended <= _MAX_EXTENDED_BYTES:
        raise ValueError(f"it declares an extended header of {extended} bytes")
    pixel = _pixel_type(header, byte_order, name)
    declared = extended + box**3 * pixel.itemsize
    rest = file.read(declared)
    if len(rest) < declared:
        raise ValueError(f"it has fewer than the {MRC_HEADER_BYTES + declared} bytes it declares")
    return header, np.frombuffer(rest, pixel, offset=extended).reshape(size)


def _pixel_type(header: np.void, byte_order: Literal["<", ">"], name: str) -> np.dtype:
    """Type of the pixels. IMOD's stamp says that bytes have no sign, unless a flag says so.

    Raises:
        TemporemError: two pixels share a byte, as a flag of IMOD says.
    """
    mode, extra = int(header["mode"]), header["extra2"].tobytes()
    stamp, flags = np.frombuffer(extra, f"{byte_order}i4", 2, _IMOD_AT).tolist()
    if stamp == _IMOD_STAMP and mode == 0:
        if flags & _IMOD_PACKED_NIBBLES:
            raise TemporemError(
                f"{name} has two pixels in a byte, as IMOD's stamp in its header says",
                expected="whole bytes or wider pixels",
                hint="convert it with newstack -mode 1",
            )
        if not flags & _IMOD_SIGNED_BYTES:
            return np.dtype(np.uint8)
    return np.dtype(_REAL_PIXELS[mode]).newbyteorder(byte_order)


def _axes(header: np.void) -> tuple[int, ...]:
    """Find z, y and x among sections, rows and columns; old files do not record them."""
    found = [int(header[name]) for name in ("maps", "mapr", "mapc")]
    if found == [0, 0, 0]:
        return 0, 1, 2
    if sorted(found) != [1, 2, 3]:
        raise ValueError(f"its axes are {found[2]}, {found[1]}, {found[0]}, not x, y and z")
    return tuple(found.index(axis) for axis in (3, 2, 1))


def _decode_header(raw: bytes) -> tuple[np.void, Literal["<", ">"]]:
    """Read a header in the byte order in which width and mode fit in 16 bits.

    The machine stamp is not trusted: old files lack it. A header that makes sense in neither
    order is described as what nearly all files are, little-endian.
    """
    little, big = (np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0] for order in "<>")
    return (big, ">") if _makes_sense(big) and not _makes_sense(little) else (little, "<")


def _makes_sense(header: np.void) -> bool:
    return all(0 <= int(header[name]) < 2**16 for name in ("nx", "mode"))


def _modes() -> str:
    return f"mode {', '.join(map(str, _REAL_PIXELS))}"


def _pixel_size(header: np.void) -> float:
    """Divide the cell's lengths by its samples; 0 where that tells no size of square pixels."""
    sizes = []
    for axis, samples in (("x", int(header["mx"])), ("y", int(header["my"]))):
        length = float(header["cella"][axis])
        known = samples > 0 and math.isfinite(length) and length > 0
        sizes.append(length / samples if known else 0.0)
    across, down = sizes
    return 0.0 if down > 0 and not math.isclose(across, down, rel_tol=0.01) else across


def _new_header(shape: tuple[int, ...], pixel_size_angstrom: float) -> np.ndarray:
    """Fill what stacks and volumes of float32 share."""
    nz, ny, nx = shape
    header = np.zeros((), dtype=HEADER_DTYPE.newbyteorder("<"))
    header["nx"], header["ny"], header["nz"] = nx, ny, nz
    header["mx"], header["my"], header["mz"] = nx, ny, nz
    header["mode"] = 2
    header["cella"] = tuple(n * pixel_size_angstrom for n in (nx, ny, nz))
    header["cellb"] = (90.0, 90.0, 90.0)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["map"] = b"MAP "
    header["machst"] = (0x44, 0x44, 0, 0)
    header["nversion"] = 20141
    return header
