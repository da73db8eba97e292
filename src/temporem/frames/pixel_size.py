"""Pixel size of a dataset: from its optics table, checked against the stacks' headers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from temporem.errors import TemporemError
from temporem.io import limits
from temporem.io.mrc import Stack
from temporem.io.star import StarTable

_COLUMN = "rlnImagePixelSize"
_COLUMN_BEFORE_3_1 = "rlnPixelSize"
_EXPECTED = f"a pixel size of {limits.PIXEL_SIZE_ANGSTROM}"

_PLACEHOLDER_ANGSTROM = 1.0
"""Placeholder that programs without a pixel size write into a header."""

CALIBRATION = 1.15
"""Factor above any calibration of a microscope and below any binning."""


def read_pixel_size(optics: StarTable, stacks: Sequence[Stack]) -> float:
    """Return the one pixel size of all optics groups, Å.

    The optics table decides; headers serve if it has no pixel size. A header without one, or with
    the placeholder of 1 Å, is ignored.

    Raises:
        TemporemError: no pixel size, several, one beyond all microscopes, or a table that differs
            from a header by more than a calibration does.
    """
    column = _COLUMN if _COLUMN in optics else _COLUMN_BEFORE_3_1
    if column in optics:
        sizes = optics.floats(column)
        optics.check(column, limits.PIXEL_SIZE_ANGSTROM.hold(sizes), _EXPECTED)
        _require_one(sizes, optics.where)
        for stack in stacks:
            _require_agreement(optics, column, float(sizes[0]), stack)
    else:
        sizes = np.array([_size_in_header(stack, optics) for stack in stacks])
        _require_one(sizes, "headers of the stacks")
    return float(sizes[0])


def _require_one(sizes: np.ndarray, where: str) -> None:
    if not np.allclose(sizes, sizes[0], rtol=1e-4, atol=0):
        raise TemporemError(
            f"{where}: pixel sizes of {sizes.min():g} and {sizes.max():g} Å",
            expected="one pixel size in a dataset",
            hint="rescale the images or split the dataset",
        )


def _require_agreement(optics: StarTable, column: str, size: float, stack: Stack) -> None:
    header = stack.pixel_size_angstrom
    if says_nothing(header) or 1 / CALIBRATION <= header / size <= CALIBRATION:
        return
    raise TemporemError(
        f"{optics.where}: _{column} is {size:g} Å, and the header of {stack.path} has {header:g} Å",
        expected="one pixel size",
        hint="were the images binned? mend the column or the header, where 0 stands for none",
    )


def _size_in_header(stack: Stack, optics: StarTable) -> float:
    size = stack.pixel_size_angstrom
    lacks = f"{optics.where} lacks _{_COLUMN} and the header of {stack.path} has"
    hint = f"add the column _{_COLUMN}"
    if says_nothing(size):
        found = f"{size:g} Å, which stands for an unknown one" if size else "no pixel size"
        raise TemporemError(f"{lacks} {found}", expected=_EXPECTED, hint=hint)
    if not limits.PIXEL_SIZE_ANGSTROM.hold(np.array(size)):
        raise TemporemError(f"{lacks} pixels of {size:g} Å", expected=_EXPECTED, hint=hint)
    return size


def says_nothing(header_angstrom: float) -> bool:
    """True for a pixel size in a header that is missing, or the placeholder of 1 Å."""
    return header_angstrom <= 0 or abs(header_angstrom - _PLACEHOLDER_ANGSTROM) < 1e-4
