"""Units of length and time as files of microscopes write them."""

from __future__ import annotations

from collections.abc import Mapping

from temporem.io.microscope.movie import positive

TO_ANGSTROM: Mapping[str, float] = {
    **{"pm": 0.01, "å": 1.0, "angstrom": 1.0, "a": 1.0, "nm": 10.0, "nanometer": 10.0},
    **dict.fromkeys(("um", "µm", "μm", "micron", "\\u00b5m"), 1e4),
    **{"mm": 1e7, "m": 1e10},
}
"""Lengths in Å, by their unit in lower case; ImageJ writes µ as an escape."""

TO_SECONDS: Mapping[str, float] = {
    **{"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0},
}
"""Times in seconds, by their unit in lower case."""


def in_unit(scale: object, unit: object, units: Mapping[str, float]) -> float | None:
    """Bring a scale to the wanted unit; None for another kind of unit, or no positive number.

    Args:
        scale: number of the file.
        unit: its unit, as the file has it.
        units: sizes of known units in the wanted one.
    """
    factor, number = units.get(str(unit or "").strip().lower()), positive(scale)
    return None if factor is None or number is None else positive(factor * number)
