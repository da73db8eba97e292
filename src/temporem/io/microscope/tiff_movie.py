"""TIFF movies, by tifffile."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.microscope.movie import MOST_FRAME_PIXELS, FieldMovie, positive, square_pixels
from temporem.io.microscope.units import TO_ANGSTROM

_DAMAGED = ("page offset", "offset to first page", "missing data", "corrupted")

_EER = (65000, 65001, 65002)  # compressions of Thermo Fisher's electron events


def read_tiff(path: Path) -> FieldMovie:
    """Open a TIFF stack: every page of one size is a frame; ImageJ's large stacks have one page."""
    import tifffile

    try:
        with _complaints() as complaints:
            file = tifffile.TiffFile(path)
            series: Any = file.series[0]
            first = series.keyframe
        if any(word in text for text in complaints for word in _DAMAGED):
            raise ValueError(complaints[0])  # tifffile goes on with the pages that are left
        shape = tuple(int(n) for n in series.shape)
        pixel = np.dtype(first.dtype)
    except Exception as error:  # tifffile raises errors of many kinds on damaged files
        raise TemporemError(
            f"{path} is not a readable TIFF file ({type(error).__name__}: {error})",
            expected="a TIFF stack of grey frames",
        ) from error
    if first.compression in _EER:
        raise TemporemError(
            f"{path} is an EER movie of single electrons",
            expected="frames of pixels",
            hint="convert it with RELION's relion_convert_to_tiff --eer_grouping",
        )
    shape = tuple(n for n in shape[:-2] if n != 1) + shape[-2:]
    if len(shape) not in (2, 3) or first.samplesperpixel != 1 or pixel.kind not in "iuf":
        raise TemporemError(
            f"{path} has pages of {pixel} with {first.samplesperpixel} samples a pixel, in all "
            f"{' x '.join(map(str, shape))}",
            expected="grey frames, one after another",
        )
    if math.prod(shape[-2:]) > MOST_FRAME_PIXELS:
        raise TemporemError(
            f"{path} declares frames of {shape[-1]} x {shape[-2]} pixels",
            expected=f"up to {MOST_FRAME_PIXELS} pixels",
        )
    n, height, width = (1, *shape) if len(shape) == 2 else shape
    frame_bytes = height * width * pixel.itemsize
    offset = series.dataoffset  # a number where pixels lie one after another, uncompressed
    size = path.stat().st_size
    if offset is not None and offset + n * frame_bytes > size:
        raise TemporemError(
            f"{path} is cut short: it has {size} bytes",
            expected=f"{offset + n * frame_bytes} bytes for {n} frames of {width} x {height}",
            hint="copy it again",
        )
    if offset is None and len(series) != n:
        raise TemporemError(
            f"{path} has {len(series)} pages for {n} frames", expected="a page for every frame"
        )
    ordered = pixel.newbyteorder(file.byteorder)

    def read(start: int, stop: int) -> np.ndarray:
        if offset is None:
            return np.stack(
                [series[i].asarray().reshape(height, width) for i in range(start, stop)]
            )
        with path.open("rb") as raw:
            raw.seek(offset + start * frame_bytes)
            count = (stop - start) * height * width
            return np.fromfile(raw, ordered, count).reshape(-1, height, width)

    pixel_size, fault = _pixel_size(file, first)
    return FieldMovie(
        path=path,
        format="TIFF",
        shape=(n, height, width),
        read=read,
        pixel_size_angstrom=pixel_size,
        frame_seconds=positive((file.imagej_metadata or {}).get("finterval")),
        pixel_size_fault=fault,
    )


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile logs, instead of printing it."""
    log, texts = logging.getLogger("tifffile"), list[str]()

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    handler, passed_on = Collect(logging.WARNING), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield texts
    finally:
        log.removeHandler(handler)
        log.propagate = passed_on


def _pixel_size(file: Any, page: Any) -> tuple[float | None, str]:
    """Pixel size that ImageJ wrote, and why it is of no use.

    ImageJ writes pixels per unit. Other programs write dots per inch there.
    """
    unit = str((file.imagej_metadata or {}).get("unit", "")).strip().lower()
    factor = TO_ANGSTROM.get(unit)
    if factor is None:
        return None, ""
    across, down = (_per_pixel(page.tags.get(f"{axis}Resolution"), factor) for axis in "XY")
    return square_pixels(across, down, "it")


def _per_pixel(resolution: Any, factor: float) -> float | None:
    try:
        pixels, units = resolution.value
    except (AttributeError, TypeError, ValueError):
        return None
    return positive(factor * units / pixels) if pixels else None
