"""Limits of numbers in files: beyond any microscope, and within what arithmetic can take."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Limits(NamedTuple):
    """Lowest and highest accepted value, with a unit."""

    low: float
    high: float
    unit: str

    def hold(self, values: np.ndarray) -> np.ndarray:
        """True at values within the limits, bool ``(N,)``."""
        return (values >= self.low) & (values <= self.high)

    def __str__(self) -> str:
        return f"{self.low:.10g} to {self.high:.10g} {self.unit}"


VOLTAGE_KV = Limits(1, 1e4, "kV")
CS_MM = Limits(-1e3, 1e3, "mm")
DEFOCUS_ANGSTROM = Limits(-1e7, 1e7, "Å")
B_FACTOR_ANGSTROM2 = Limits(0, 1e5, "Å²")
CTF_SCALE = Limits(1e-6, 1e6, "(a factor)")
ANGLE_DEGREES = Limits(-1e6, 1e6, "°")
PIXEL_SIZE_ANGSTROM = Limits(1e-3, 1e4, "Å")

LARGEST_PIXEL = 1e12
"""Pixels of either sign: sums of squares over a transformed image stay far from overflow."""
