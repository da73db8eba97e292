"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Overwrite = Annotated[
    bool, Parameter(negative="", show_default=False, help="Replace an output that exists.")
]

Settings = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        show_default=False,
        help="One setting as key=value or section.key=value; may be repeated.",
    ),
]

Json = Annotated[
    bool,
    Parameter(
        name="--json", negative="", show_default=False, help="Print JSON for programs, not a table."
    ),
]

Runs = Annotated[list[Path], Parameter(help="RUN folders.", negative="", show_default=False)]


def output(what: str) -> Parameter:
    """``-o``, described as ``what``."""
    return Parameter(name=["--output", "-o"], help=what)
