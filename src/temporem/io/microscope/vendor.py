"""Movies of microscope vendors, by RosettaSciIO (GPL, an optional extra)."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.microscope.movie import FieldMovie, positive

_TO_ANGSTROM = {
    **{"pm": 0.01, "å": 1.0, "angstrom": 1.0, "a": 1.0, "nm": 10.0},
    **{"um": 1e4, "µm": 1e4, "μm": 1e4, "mm": 1e7, "m": 1e10},
}
_MOST_COMPRESSION = 200
_HEADER_BYTES = 2**30  # far more than any header takes
_TO_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0}


def vendor_reader(plugin: str, name: str) -> Callable[[Path], FieldMovie]:
    """Make the reader of one format.

    Args:
        plugin: module of RosettaSciIO.
        name: name of the format, for messages.
    """

    def read(path: Path) -> FieldMovie:
        try:
            importlib.import_module("rsciio")
        except ImportError:
            raise TemporemError(
                f"{path} is a {name} file, which needs RosettaSciIO",
                hint="pip install 'temporem[microscope]'",
            ) from None
        logging.getLogger("rsciio").setLevel(logging.CRITICAL)
        module = importlib.import_module(f"rsciio.{plugin}")
        try:
            with _little_memory():
                if plugin == "emd":
                    _require_honest_sizes(path)
                signals = module.file_reader(str(path), lazy=True)
        except Exception as error:  # damaged files end in errors of any kind
            if isinstance(error, ValueError) and "RGB" in str(error):
                raise TemporemError(
                    f"{path} holds colour pictures",
                    expected="grey frames",
                    hint="export it as a grey TIFF stack",
                ) from error
            raise TemporemError(
                f"{path} is not a readable {name} file ({type(error).__name__}: {error})",
                expected="a whole file of grey frames",
            ) from error
        return _movie(path, name, _choose(path, name, signals))

    return read


@contextmanager
def _little_memory() -> Iterator[None]:
    """Let the process grow little while a header is read: a damaged one may ask for gigabytes.

    HDF5 allocates what a file says. Only Linux tells how large a process is; elsewhere there is no
    limit.
    """
    pages = Path("/proc/self/statm")
    if not pages.is_file():
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(pages.read_text().split()[0]) * resource.getpagesize()
    most = now + _HEADER_BYTES
    if before[1] != resource.RLIM_INFINITY:
        most = min(most, before[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _require_honest_sizes(path: Path) -> None:
    """Raise a ValueError if an HDF5 file declares far more data than it can hold.

    Such a file may come from a bad copy, or fill the memory on purpose.
    """
    import h5py

    most = _MOST_COMPRESSION * path.stat().st_size + 2**24

    def check(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            chunk = math.prod(item.chunks or (1,)) * item.dtype.itemsize
            if max(math.prod(item.shape or (0,)) * item.dtype.itemsize, chunk) > most:
                raise ValueError(f"{name} declares an array of {item.shape}, more than fits")

    with h5py.File(path, "r") as file:
        file.visititems(check)


def _choose(path: Path, name: str, signals: list[dict[str, Any]]) -> dict[str, Any]:
    """Find the signal that is a movie or an image of the specimen; the largest of several."""
    usable = [
        s for s in signals if len(s["data"].shape) in (2, 3) and s["data"].dtype.kind in "iuf"
    ]
    usable = [s for s in usable if min(s["data"].shape) > 0]
    if not usable:
        found = [" x ".join(map(str, s["data"].shape)) for s in signals]
        raise TemporemError(
            f"{path} ({name}) holds {'; '.join(found) or 'no data'}",
            expected="frames of real numbers, one after another",
        )
    return max(usable, key=lambda s: math.prod(s["data"].shape))


def _movie(path: Path, name: str, signal: dict[str, Any]) -> FieldMovie:
    data, axes = signal["data"], list(signal["axes"])
    spatial = axes[-2:]
    if any(axis.get("navigate") for axis in spatial):
        raise TemporemError(
            f"{path} ({name}) holds spectra or a scan, not frames",
            expected="frames of a movie",
        )
    lengths = [_in(axis, _TO_ANGSTROM) for axis in spatial]
    units = str(spatial[-1].get("units") or "").strip().lower()
    if units in {"1/nm", "1/å", "mrad", "1/m", "rad"} and _is_diffraction(signal):
        lengths = [None, None]  # of reciprocal space: not the specimen's
    size = lengths[1]
    if size is not None and lengths[0] is not None and not math.isclose(*lengths, rel_tol=0.01):  # type: ignore[arg-type]
        raise TemporemError(
            f"{path} has pixels of {lengths[1]:g} x {lengths[0]:g} Å", expected="square pixels"
        )
    shape = tuple(int(n) for n in data.shape)
    seconds = _in(axes[0], _TO_SECONDS) if len(shape) == 3 else None
    instrument = signal["metadata"].get("Acquisition_instrument") or {}
    voltage = positive((instrument.get("TEM") or {}).get("beam_energy"))

    def read(start: int, stop: int) -> np.ndarray:
        part = data[None] if len(shape) == 2 else data[start:stop]
        return np.asarray(part.compute() if hasattr(part, "compute") else part)

    n, height, width = (1, *shape) if len(shape) == 2 else shape
    return FieldMovie(
        path=path,
        format=name,
        shape=(n, height, width),
        read=read,
        pixel_size_angstrom=size,
        frame_seconds=seconds,
        voltage_kv=voltage,
    )


def _in(axis: dict[str, Any], units: dict[str, float]) -> float | None:
    """Scale of an axis in the wanted unit; None for another kind of unit."""
    factor = units.get(str(axis.get("units") or "").strip().lower())
    scale = positive(axis.get("scale"))
    return None if factor is None or scale is None else positive(factor * scale)


def _is_diffraction(signal: dict[str, Any]) -> bool:
    return (signal["metadata"].get("Signal") or {}).get("signal_type") == "diffraction"
