"""Arrows and axes for ChimeraX, in its format BILD."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from temporem.io.files import atomic_write

_CONE = 2.5  # radius of an arrow's tip over that of its shaft
_SHAFT = 0.7  # of the length


class BildDrawing:
    """Lines of a BILD file, in the order in which ChimeraX draws them. Lengths are in Å."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def comment(self, text: str) -> None:
        """Add a comment."""
        self._lines.append(f".comment {' '.join(text.split())}")

    def colour(self, rgb: Iterable[float]) -> None:
        """Set the colour of all that follows: red, green and blue from 0 to 1."""
        self._lines.append(".color " + " ".join(f"{value:.3f}" for value in rgb))

    def arrow(self, start: np.ndarray, end: np.ndarray, radius: float) -> None:
        """Draw an arrow between two points ``(3,)``."""
        ends = _numbers(start, end)
        self._lines.append(f".arrow {ends} {radius:.3f} {_CONE * radius:.3f} {_SHAFT:.2f}")

    def cylinder(self, start: np.ndarray, end: np.ndarray, radius: float) -> None:
        """Draw a cylinder between two points ``(3,)``."""
        self._lines.append(f".cylinder {_numbers(start, end)} {radius:.3f}")

    def sphere(self, centre: np.ndarray, radius: float) -> None:
        """Draw a sphere about a point ``(3,)``."""
        self._lines.append(f".sphere {_numbers(centre)} {radius:.3f}")

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; one that exists is replaced."""
        with atomic_write(path) as partial:
            partial.write_text("\n".join(self._lines) + "\n", encoding="ascii")


def _numbers(*points: np.ndarray) -> str:
    return " ".join(f"{value:.3f}" for point in points for value in point)
