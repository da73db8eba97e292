"""Columns that change how images are formed and that a dataset cannot hold."""

from __future__ import annotations

import numpy as np

from temporem.errors import TemporemError
from temporem.io.number_lists import number_list
from temporem.io.star import StarTable

_NEUTRAL = {
    "rlnCtfDataAreCtfPremultiplied": (0.0, "images multiplied by their CTF"),
    "rlnCtfDataArePhaseFlipped": (0.0, "images multiplied by the sign of their CTF"),
    "rlnBeamTiltX": (0.0, "beam tilt"),
    "rlnBeamTiltY": (0.0, "beam tilt"),
    "rlnMagMat00": (1.0, "anisotropic magnification"),
    "rlnMagMat01": (0.0, "anisotropic magnification"),
    "rlnMagMat10": (0.0, "anisotropic magnification"),
    "rlnMagMat11": (1.0, "anisotropic magnification"),
}
_LISTS = {
    "rlnOddZernike": "antisymmetric aberrations",
    "rlnEvenZernike": "symmetric aberrations",
}


def refuse_unmodelled(*tables: StarTable) -> None:
    """Raise a TemporemError about a column that the forward model does not know.

    A column with the value that changes nothing is taken.
    """
    for table in tables:
        for column, (neutral, what) in _NEUTRAL.items():
            if column in table:
                _refuse(table, column, table.floats(column) == neutral, f"{neutral:g}", what)
        for column, what in _LISTS.items():
            if column in table:
                lists = [number_list(text) for text in table.strings(column)]
                zero = np.array([v is not None and not any(v) for v in lists])
                _refuse(table, column, zero, "zeros", what)


def _refuse(table: StarTable, column: str, neutral: np.ndarray, expected: str, what: str) -> None:
    try:
        table.check(column, neutral, f"{expected}: {what} is not modelled")
    except TemporemError as error:
        raise TemporemError(
            f"{error}; temporem import corrects or judges it: temporem import STAR_FILE -o DATASET"
        ) from None
