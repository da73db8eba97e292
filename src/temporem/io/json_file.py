"""Read JSON files of unknown origin."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any

from temporem.errors import TemporemError
from temporem.io.text_file import read_text

MOST_BYTES = 2**27
"""Larger files are refused; a record of ten million exported frames has about this size."""


def read_json_object(
    path: Path, *, form: str | None = None, hint: str | None = None
) -> dict[str, Any]:
    """Read the object ``{…}`` in a JSON file.

    Args:
        path: the file.
        form: the value that its entry ``format`` must have; None for a file without that entry.
        hint: what to do about a damaged file, or one of another format.

    Raises:
        TemporemError: the file is missing, too large, not JSON, no object or of another format.
    """
    document = _parse_object(read_text(path, most_bytes=MOST_BYTES), str(path), hint)
    if form is not None and document.get("format") != form:
        found = reprlib.repr(document.get("format"))
        raise TemporemError(f"{path} has the format {found}", expected=repr(form), hint=hint)
    return document


def read_json_lines(path: Path, *, hint: str | None = None) -> list[dict[str, Any]]:
    """Read a file with one JSON object on every line.

    Raises:
        TemporemError: the file is missing or too large, or a line is not a JSON object.
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
