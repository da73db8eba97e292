"""JSON of unknown origin: files of records and of results."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any

from temporem.errors import TemporemError
from temporem.io.text_file import read_text

MOST_BYTES = 2**27
"""Larger files are refused: a record of ten million exported frames takes about as much."""


def read_json_object(
    path: Path, *, form: str | None = None, hint: str | None = None
) -> dict[str, Any]:
    """The object ``{…}`` in a JSON file.

    Args:
        path: the file.
        form: what its entry ``format`` must be; None for a file without.
        hint: what to do about a damaged file, or one of another format.

    Raises:
        TemporemError: no such file, too large, not JSON, not an object or of another format.
    """
    document = _parse_object(read_text(path, most_bytes=MOST_BYTES), str(path), hint)
    if form is not None and document.get("format") != form:
        found = reprlib.repr(document.get("format"))
        raise TemporemError(f"{path} has the format {found}", expected=repr(form), hint=hint)
    return document


def read_json_lines(path: Path, *, hint: str | None = None) -> list[dict[str, Any]]:
    """The objects of a file with one on every line.

    Raises:
        TemporemError: no such file, too large, or a line is not a JSON object.
    """
    lines = read_text(path, most_bytes=MOST_BYTES).split("\n")
    return [
        _parse_object(line, f"{path} line {number}", hint)
        for number, line in enumerate(lines, start=1)
        if line
    ]


def _parse_object(text: str, where: str, hint: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise TemporemError(f"{where}: not readable as JSON ({error})", hint=hint) from None
    except RecursionError:
        raise TemporemError(f"{where}: not readable as JSON (too deep)", hint=hint) from None
    if not isinstance(value, dict):
        raise TemporemError(f"{where}: not a JSON object", expected="{…}", hint=hint)
    return value
