"""Numbers behind figures and tables as CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of cells that spreadsheet programs take for formulas."""


def csv_text(columns: Mapping[str, Iterable[Any]]) -> str:
    """Write columns as CSV (RFC 4180), shorter ones filled up with empty cells.

    Numbers have six digits, and those that are not finite are empty. Text that a spreadsheet would
    take for a formula gets an apostrophe in front, because names come from files of others.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    for row in zip_longest(*columns.values(), fillvalue=""):
        writer.writerow([_cell(value) for value in row])
    return buffer.getvalue()


def plain(text: str) -> str:
    """A printed number or a dash as programs read them."""
    return {"\N{EN DASH}": ""}.get(text, text.replace("\N{MINUS SIGN}", "-"))


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}" if np.isfinite(value) else ""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
