"""Optics groups of a STAR file: those in use, and the group of every particle."""

from __future__ import annotations

import numpy as np

from temporem.errors import TemporemError
from temporem.io.star import StarTable

OPTICS_COLUMN = "rlnOpticsGroup"
MAGNIFICATION_COLUMNS = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")


def groups_in_use(particles: StarTable, optics: StarTable) -> StarTable:
    """The rows of the optics table that particles name, so that only those are checked.

    Raises:
        TemporemError: a table lacks the column, or no group is in use.
    """
    particles.require(OPTICS_COLUMN)
    optics.require(OPTICS_COLUMN)
    used = {_number(text) for text in np.unique(particles.texts(OPTICS_COLUMN)).tolist()} - {None}
    rows = [i for i, text in enumerate(optics.strings(OPTICS_COLUMN)) if _number(text) in used]
    if not rows:
        raise TemporemError(
            f"{optics.where} has none of the optics groups of {particles.where}",
            expected=f"a row for every _{OPTICS_COLUMN} in use",
        )
    return optics.take(np.array(rows))


def optics_rows(particles: StarTable, optics: StarTable) -> np.ndarray:
    """Row of the optics table for every particle ``(N,)``.

    Raises:
        TemporemError: a group is there twice or not at all, or is no whole number.
    """
    groups = optics.ints(OPTICS_COLUMN)
    _, first = np.unique(groups, return_index=True)
    once = np.isin(np.arange(len(groups)), first)
    optics.check(OPTICS_COLUMN, once, "each group once")
    order = np.argsort(groups)
    wanted = particles.ints(OPTICS_COLUMN)
    rows = order[np.searchsorted(groups, wanted, sorter=order).clip(max=len(groups) - 1)]
    particles.check(OPTICS_COLUMN, groups[rows] == wanted, f"a group of {optics.where}")
    return rows


def magnification(particles: StarTable, optics: StarTable | None) -> np.ndarray:
    """Matrices from nominal to true frequencies of every image, ``(N, 2, 2)``; 1 if unrecorded."""
    group = None if optics is None else optics_rows(particles, optics)
    entries = []
    for column, neutral in zip(MAGNIFICATION_COLUMNS, (1.0, 0.0, 0.0, 1.0), strict=True):
        if optics is not None and group is not None and column in optics:
            entries.append(optics.floats(column)[group])
        else:
            entries.append(particles.floats(column, default=neutral))
    return np.stack(entries, axis=-1).reshape(-1, 2, 2)


def _number(text: str) -> int | None:
    """The number that a text is, so that a broken row of an unused group does no harm."""
    digits = text.removeprefix("+").removeprefix("-")
    return int(text) if digits.isdecimal() and len(digits) < 19 else None
