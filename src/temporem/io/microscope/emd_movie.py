"""EMD movies: those of the Berkeley Lab by h5py, those of Velox by RosettaSciIO.

A Berkeley file (emdatasets.com) holds groups with the attribute ``emd_group_type``, and in each the
array ``data`` and a vector of coordinates for every axis, with name and units. Programs differ in
the order of the axes: ncempy writes (time, y, x), HyperSpy (x, y, time). Only names and units tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.microscope.movie import FieldMovie, positive, square_pixels
from temporem.io.microscope.units import TO_ANGSTROM, TO_SECONDS, in_unit
from temporem.io.microscope.vendor import guarded, vendor_reader

if TYPE_CHECKING:
    import h5py

_GROUP = "emd_group_type"
_NAME = "Berkeley EMD"
_MOST_COMPRESSION = 200
_TIME_NAMES = frozenset({"t", "time", "frame", "frames"})
_WORDS = {"[": "", "]": "", "_": ""}  # units are written as [n_m]

_read_velox = vendor_reader("emd", "EMD")


@dataclass(frozen=True)
class _Axis:
    """An axis of an array: its place, name, and step in Å or seconds."""

    place: int
    name: str
    angstrom: float | None
    seconds: float | None

    @property
    def is_time(self) -> bool:
        return self.seconds is not None or self.name in _TIME_NAMES

    @property
    def is_space(self) -> bool:
        return not self.is_time and (self.angstrom is not None or self.name in ("x", "y"))


def read_emd(path: Path) -> FieldMovie:
    """Open an EMD movie of either kind."""
    with guarded(path, "EMD"):
        import h5py

        with h5py.File(path, "r") as file:
            _require_honest_sizes(file, path.stat().st_size)
            groups = _groups(file)
            arrays = [_array(group) for group in groups]
    return _read_berkeley(path, arrays) if groups else _read_velox(path)


def _require_honest_sizes(file: h5py.File, n_bytes: int) -> None:
    """Raise a ValueError if an HDF5 file declares far more data than it can hold.

    Such a file may come from a bad copy, or fill the memory on purpose.
    """
    import h5py

    most = _MOST_COMPRESSION * n_bytes + 2**24

    def check(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            chunk = math.prod(item.chunks or (1,)) * item.dtype.itemsize
            if max(math.prod(item.shape or (0,)) * item.dtype.itemsize, chunk) > most:
                raise ValueError(f"{name} declares an array of {item.shape}, more than fits")
            if item.external is not None or item.is_virtual:
                raise ValueError(f"{name} lies in another file")

    file.visititems(check)


def _groups(file: h5py.File) -> list[h5py.Group]:
    """Groups of data of the Berkeley Lab's form."""
    import h5py

    found: list[h5py.Group] = []

    def take(_: str, item: object) -> None:
        if isinstance(item, h5py.Group) and _GROUP in item.attrs:
            found.append(item)

    file.visititems(take)
    return [group for group in found if isinstance(group.get("data"), h5py.Dataset)]


def _array(group: h5py.Group) -> tuple[str, tuple[int, ...], np.dtype[Any], list[_Axis]]:
    """Name, shape, type and axes of the array of a group."""
    data = group["data"]
    first = 0 if "dim0" in group else 1
    axes = [_axis(group.get(f"dim{place + first}"), place, n) for place, n in enumerate(data.shape)]
    return data.name, data.shape, data.dtype, axes


def _axis(vector: h5py.Dataset | None, place: int, length: int) -> _Axis:
    if vector is None or vector.ndim != 1 or len(vector) < 1:
        return _Axis(place, "", None, None)
    units = _text(vector.attrs.get("units"))
    for sign, word in _WORDS.items():
        units = units.replace(sign, word)
    values = vector[[0, -1]].astype(float) if len(vector) > 1 else np.zeros(2)
    step = float(np.diff(values)[0]) / max(len(vector) - 1, 1)
    one = length < 2 or not math.isfinite(step)
    scale = None if one else positive(abs(step))
    name = _text(vector.attrs.get("name")).lower()
    seconds = in_unit(scale, units, TO_SECONDS)
    return _Axis(place, name, in_unit(scale, units, TO_ANGSTROM), seconds)


def _text(value: object) -> str:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    ).strip()


def _read_berkeley(
    path: Path, arrays: list[tuple[str, tuple[int, ...], np.dtype[Any], list[_Axis]]]
) -> FieldMovie:
    """Open the largest array that is an image or a movie."""
    usable = [a for a in arrays if len(a[1]) in (2, 3) and a[2].kind in "iuf" and min(a[1]) > 0]
    if not usable:
        found = "; ".join(
            f"{' x '.join(map(str, shape)) or 'one value'} of {kind}"
            for _, shape, kind, _ in arrays
        )
        raise TemporemError(
            f"{path} ({_NAME}) holds {found}", expected="frames of real numbers, one after another"
        )
    name, shape, _, axes = max(usable, key=lambda array: math.prod(array[1]))
    frames, y, x = _order(path, axes)
    size, fault = square_pixels(x.angstrom, y.angstrom, "it")
    order = (y.place, x.place) if frames is None else (frames.place, y.place, x.place)

    def read(start: int, stop: int) -> np.ndarray:
        import h5py

        part = [slice(None)] * len(shape)
        if frames is not None:
            part[frames.place] = slice(start, stop)
        with h5py.File(path, "r") as file:
            pixels = np.transpose(file[name][tuple(part)], order)
        return pixels if frames is not None else pixels[None]

    return FieldMovie(
        path=path,
        format=_NAME,
        shape=(1 if frames is None else shape[frames.place], shape[y.place], shape[x.place]),
        read=read,
        pixel_size_angstrom=size,
        frame_seconds=None if frames is None else frames.seconds,
        pixel_size_fault=fault,
    )


def _order(path: Path, axes: list[_Axis]) -> tuple[_Axis | None, _Axis, _Axis]:
    """The axes of frames, y and x.

    Raises:
        TemporemError: names and units do not tell which axis counts frames.
    """
    frames = None
    if len(axes) == 3:
        others = [axis for axis in axes if not axis.is_space]
        if len(others) != 1 or others[0].place == 1:
            said = ", ".join(axis.name or "?" for axis in axes)
            raise TemporemError(
                f"{path} ({_NAME}) does not tell which of its axes ({said}) counts frames",
                expected="two axes in units of length or named x and y, and one before or after",
                hint="export the movie as MRC or TIFF",
            )
        frames = others[0]
    first, second = (axis for axis in axes if axis is not frames)
    if {first.name, second.name} == {"x", "y"}:
        return (frames, second, first) if first.name == "x" else (frames, first, second)
    last = frames is not None and frames.place == 2
    return (frames, second, first) if last else (frames, first, second)
