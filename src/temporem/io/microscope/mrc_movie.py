"""MRC movies, with what Direct Electron cameras write beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from temporem.errors import TemporemError
from temporem.io.microscope.movie import FieldMovie, Read, positive, square_pixels
from temporem.io.mrc import MRC_HEADER_BYTES, open_stack
from temporem.io.text_file import read_text

_PACKED_MODE = 101
_PLACEHOLDER_ANGSTROM = 1.0  # many programs write it for an unknown pixel size
_INFO = "_info.txt"
_MOST_INFO_BYTES = 10**7


def read_mrc(path: Path) -> FieldMovie:
    """Open an MRC movie: modes 0, 1, 2, 6, 12 and 101 (4 bits a pixel)."""
    info = _camera_info(path)
    across, down = (_angstrom(info, axis) for axis in "XY")
    size, fault = square_pixels(across, down, "its _info.txt")
    frame_ns = positive(info.get("Frame Time (nanoseconds)"))
    volts = positive(info.get("Instrument Accelerating Voltage (V)"))
    rate = positive(info.get("Exposure Rate (e-/pix/s)"))
    seconds = None if frame_ns is None else frame_ns * 1e-9
    known = rate is not None and seconds is not None and size is not None
    dose = rate * seconds / size**2 if known else None  # type: ignore[operator]
    shape, read, header_size = _packed(path) or _plain(path)
    if (
        size is None
        and not fault
        and header_size > 0
        and abs(header_size - _PLACEHOLDER_ANGSTROM) > 1e-4
    ):
        size = header_size
    return FieldMovie(
        path=path,
        format="MRC",
        shape=shape,
        read=read,
        pixel_size_angstrom=size,
        frame_seconds=seconds,
        dose_per_frame=dose,
        voltage_kv=None if volts is None else volts / 1e3,
        pixel_size_fault=fault,
    )


def _angstrom(info: dict[str, str], axis: str) -> float | None:
    nanometres = positive(info.get(f"Specimen Pixel Size {axis} (nanometers)"))
    return None if nanometres is None else 10 * nanometres


def _plain(path: Path) -> tuple[tuple[int, int, int], Read, float]:
    """Shape, reader and pixel size of a movie of whole numbers or floats."""
    stack = open_stack(path)

    def read(start: int, stop: int) -> np.ndarray:
        return stack.read(np.arange(start, stop))

    return stack.shape, read, stack.pixel_size_angstrom


def _packed(path: Path) -> tuple[tuple[int, int, int], Read, float] | None:
    """Shape, reader and pixel size of a movie with two pixels a byte; None for other modes.

    Every row begins at a byte of its own. The first pixel is in the lower four bits.
    """
    with path.open("rb") as file:
        raw = file.read(MRC_HEADER_BYTES)
    if len(raw) < MRC_HEADER_BYTES:
        return None
    headers = [np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0] for order in "<>"]
    header = next((found for found in headers if int(found["mode"]) == _PACKED_MODE), None)
    if header is None:
        return None
    shape = (int(header["nz"]), int(header["ny"]), int(header["nx"]))
    n, height, width = shape
    row_bytes, offset = (width + 1) // 2, MRC_HEADER_BYTES + int(header["nsymbt"])
    declared = offset + n * height * row_bytes
    found = path.stat().st_size
    if min(shape) < 1 or offset < MRC_HEADER_BYTES or declared > found:
        raise TemporemError(
            f"{path} has {found} bytes and declares {n} frames of {width} x {height} pixels",
            expected=f"{declared} bytes",
            hint="copy it again",
        )

    def read(start: int, stop: int) -> np.ndarray:
        count = (stop - start) * height * row_bytes
        with path.open("rb") as file:
            file.seek(offset + start * height * row_bytes)
            packed = np.fromfile(file, np.uint8, count).reshape(stop - start, height, row_bytes)
        both = np.stack([packed & 15, packed >> 4], axis=-1)
        return both.reshape(stop - start, height, 2 * row_bytes)[..., :width]

    length, samples = float(header["cella"]["x"]), int(header["mx"])
    return shape, read, length / samples if samples > 0 and length > 0 else 0.0


def movie_of_info(path: Path) -> Path | None:
    """Find the movie ``NAME_movie.mrc`` that a file ``NAME_info.txt`` describes."""
    movie = path.with_name(path.name.removesuffix(_INFO) + "_movie.mrc")
    return movie if path.name.endswith(_INFO) and movie.is_file() else None


def _camera_info(path: Path) -> dict[str, str]:
    """Read what a Direct Electron camera notes beside ``NAME_movie.mrc``, in ``NAME_info.txt``."""
    name = path.stem.rpartition("_")[0]
    beside = path.with_name(f"{name}{_INFO}")
    if not name or not beside.is_file():
        return {}
    lines = read_text(beside, most_bytes=_MOST_INFO_BYTES).splitlines()
    pairs = [line.partition("=") for line in lines]
    return {key.strip(): value.strip() for key, separator, value in pairs if separator}
