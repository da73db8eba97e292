"""A movie of the whole field of view, read a few frames at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.limits import LARGEST_PIXEL

MOST_FRAME_PIXELS = 2**27
"""Largest frame: three times that of the largest camera. A header may claim any size."""

MOST_FRAMES = 10**6
"""Largest number of frames of a movie."""

Read = Callable[[int, int], np.ndarray]
"""Reads the frames from the first to before the second index, ``(n, y, x)`` of real numbers."""


@dataclass(frozen=True)
class FieldMovie:
    """T frames of a field of view, in a file that is read when they are asked for.

    Attributes:
        path: the file, or the folder of an image sequence.
        format: name of its format.
        shape: ``(T, y, x)``.
        read: reads some frames from the disk.
        pixel_size_angstrom: Å; None where the file does not tell.
        frame_seconds: time from frame to frame, seconds; None where the file does not tell.
        dose_per_frame: electrons per Å² and frame; None where the file does not tell.
        voltage_kv: acceleration voltage; None where the file does not tell.
        pixel_size_fault: why the pixel size that the file tells is of no use; empty where it is not
            so. A user who gives another one has no need of it.
    """

    path: Path
    format: str
    shape: tuple[int, int, int]
    read: Read
    pixel_size_angstrom: float | None = None
    frame_seconds: float | None = None
    dose_per_frame: float | None = None
    voltage_kv: float | None = None
    pixel_size_fault: str = ""

    def __post_init__(self) -> None:
        n, height, width = self.shape
        if min(self.shape) < 1 or height * width > MOST_FRAME_PIXELS or n > MOST_FRAMES:
            raise TemporemError(
                f"{self.path} declares {n} frames of {width} x {height} pixels",
                expected=f"1 to {MOST_FRAMES} frames of up to {MOST_FRAME_PIXELS} pixels",
            )

    @property
    def n_frames(self) -> int:
        """Number T of frames."""
        return self.shape[0]

    def frames(self, start: int, stop: int) -> np.ndarray:
        """Read frames ``start`` to before ``stop`` as float32 ``(n, y, x)``.

        Raises:
            TemporemError: the file is damaged there, or holds pixels that are not usable numbers.
        """
        try:
            pixels = np.asarray(self.read(start, stop))
        except TemporemError:
            raise
        except Exception as error:  # a library fails on damaged files in any way it likes
            raise TemporemError(
                f"{self.path}: frames {start + 1} to {stop} are not readable "
                f"({type(error).__name__}: {error})",
                hint="copy the file again",
            ) from error
        expected = (stop - start, *self.shape[1:])
        if pixels.shape != expected or pixels.dtype.kind not in "iuf":
            raise TemporemError(
                f"{self.path}: frames {start + 1} to {stop} are {pixels.dtype} of {pixels.shape}",
                expected=f"real numbers of {expected}",
            )
        pixels = pixels.astype(np.float32, copy=False)
        good = (np.abs(pixels) <= LARGEST_PIXEL).all(axis=(1, 2))  # false for NaN
        if not good.all():
            raise TemporemError(
                f"{self.path}: frame {start + int(np.argmin(good)) + 1} has a pixel that is NaN, "
                "infinite or huge",
                expected=f"pixels of at most {LARGEST_PIXEL:g} of either sign",
            )
        return pixels


def positive(value: object) -> float | None:
    """Return metadata as a number above 0; None for anything else, such as −1 for unknown."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None


def square_pixels(
    width: float | None, height: float | None, where: str
) -> tuple[float | None, str]:
    """Pixel size in Å from those along x and y, and why there is none although both are known.

    Args:
        width: along x, Å; None where it is not known.
        height: along y.
        where: where they stand, such as "its header".
    """
    if width and height and not math.isclose(width, height, rel_tol=0.01):
        return None, f"{where} has pixels of {width:g} x {height:g} Å, which are not square"
    return width, ""
