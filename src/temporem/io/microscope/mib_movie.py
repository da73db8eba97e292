"""MIB movies of Quantum Detectors' Merlin cameras, by RosettaSciIO."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.microscope.movie import FieldMovie, positive
from temporem.io.microscope.vendor import guarded
from temporem.io.text_file import read_text

_NAME = "Merlin (MIB)"
_FRAMES = re.compile(r"^Frames in Acquisition \(Number\):\s*(\d{1,9})\s*$", re.MULTILINE)
_MOST_NOTES = 10**6  # bytes


def read_mib(path: Path) -> FieldMovie:
    """Open a MIB movie: frames of whole numbers, each after a header of its own.

    RosettaSciIO's reader of signals takes uneven times for lines of a scan. Here all frames follow
    one another. As there, the first line of the file is the lowest.
    """
    with guarded(path, _NAME):
        library = importlib.import_module("rsciio.quantumdetector")
        frames, headers = library.load_mib_data(str(path), lazy=True, return_headers=True)
        seconds = _interval(library, headers)
    (n, height, width), pixel = frames.shape, frames.dtype
    frame_bytes, header_bytes = frames.strides[0], headers.dtype.itemsize
    size = path.stat().st_size
    del frames, headers  # the map of the file
    if n * frame_bytes != size:
        raise TemporemError(
            f"{path} is cut short: its last frame has {size - n * frame_bytes} bytes",
            expected=f"{frame_bytes} bytes a frame",
            hint="copy it again",
        )
    noted = _noted_frames(path)
    if noted is not None and noted > n:
        raise TemporemError(
            f"{path} has {n} frames, and {path.with_suffix('.hdr').name} says {noted}",
            expected="a whole file",
            hint="copy it again; of an acquisition that was stopped, remove the .hdr file",
        )

    def read(start: int, stop: int) -> np.ndarray:
        found = np.empty((stop - start, height, width), pixel)
        with path.open("rb") as file:
            for i in range(stop - start):
                file.seek((start + i) * frame_bytes + header_bytes)
                found[i] = np.fromfile(file, pixel, height * width).reshape(height, width)[::-1]
        return found

    return FieldMovie(
        path=path, format=_NAME, shape=(n, height, width), read=read, frame_seconds=seconds
    )


def _noted_frames(path: Path) -> int | None:
    """Number of frames in the notes that Merlin writes beside a movie; None where it says none."""
    notes = path.with_suffix(".hdr")
    if not notes.is_file():
        return None
    found = _FRAMES.search(read_text(notes, most_bytes=_MOST_NOTES))
    return None if found is None else int(found[1])


def _interval(library: Any, headers: Any) -> float | None:
    """Median time from frame to frame in seconds, by the times that headers tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the time zone, which differences do not need
        try:
            texts = [str(text).rstrip("Z") for text in library.parse_timestamps(headers)]
            times = np.array(texts, dtype="datetime64[ns]")
        except ValueError:
            return None
    if len(times) < 2:
        return None
    return positive(np.median(np.diff(times).astype(float)) * 1e-9)
