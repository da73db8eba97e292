"""Movies of microscope vendors, by RosettaSciIO (GPL, an optional extra)."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.microscope.movie import FieldMovie, positive, square_pixels
from temporem.io.microscope.units import TO_ANGSTROM, TO_SECONDS, in_unit

_HEADER_BYTES = 2**30  # far more than any header takes


def vendor_reader(plugin: str, name: str) -> Callable[[Path], FieldMovie]:
    """Make the reader of one format.

    Args:
        plugin: module of RosettaSciIO.
        name: name of the format, for messages.
    """

    def read(path: Path) -> FieldMovie:
        with guarded(path, name):
            module = importlib.import_module(f"rsciio.{plugin}")
            signals = module.file_reader(str(path), lazy=True)
        return _movie(path, name, _choose(path, name, signals))

    return read


@contextmanager
def guarded(path: Path, name: str) -> Iterator[None]:
    """Let a library read the header of a file in little memory, and say in words why it cannot.

    Args:
        path: the file.
        name: name of its format.

    Raises:
        TemporemError: the library is absent, or failed in any way.
    """
    try:
        importlib.import_module("rsciio")
        importlib.import_module("h5py")
    except ImportError:
        raise TemporemError(
            f"{path} is a {name} file, which needs RosettaSciIO",
            hint="pip install 'temporem[microscope]'",
        ) from None
    logging.getLogger("rsciio").setLevel(logging.CRITICAL)
    try:
        with _little_memory():
            yield
    except TemporemError:
        raise
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
    lengths = [_in(axis, TO_ANGSTROM) for axis in spatial]
    units = str(spatial[-1].get("units") or "").strip().lower()
    if units in {"1/nm", "1/å", "mrad", "1/m", "rad"} and _is_diffraction(signal):
        lengths = [None, None]  # of reciprocal space: not the specimen's
    size, fault = square_pixels(lengths[1], lengths[0], "it")
    shape = tuple(int(n) for n in data.shape)
    seconds = _in(axes[0], TO_SECONDS) if len(shape) == 3 else None
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
        pixel_size_fault=fault,
    )


def _in(axis: dict[str, Any], units: Mapping[str, float]) -> float | None:
    """Scale of an axis in the wanted unit; None for another kind of unit."""
    return in_unit(axis.get("scale"), axis.get("units"), units)


def _is_diffraction(signal: dict[str, Any]) -> bool:
    return (signal["metadata"].get("Signal") or {}).get("signal_type") == "diffraction"
