"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from temporem.errors import TemporemError
from temporem.io.leftovers import adopt_leftovers


def existing_folder(expected: str, hint: str) -> Callable[[object, Any], None]:
    """Make a check that refuses a missing folder before anything heavy is imported.

    A folder that a crash has moved aside is put back first.

    Args:
        expected: what the folder should be, for the message.
        hint: how to come by one.
    """

    def check(_: object, given: Path | Sequence[Path] | None) -> None:
        if os.environ.get("RANK", "0") != "0":
            return  # the first process of a run speaks for all
        for path in [given] if isinstance(given, Path) else given or []:
            adopt_leftovers(path)
            if not path.is_dir():
                raise TemporemError(f"{path} is not a folder", expected=expected, hint=hint)

    return check


_is_run = existing_folder("a run folder with config.yaml", "make one with temporem reconstruct")
_is_dataset = existing_folder(
    "a dataset folder with particles.star",
    "make one with temporem simulate, or see docs/data.md for data of yours",
)

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

RunFolder = Annotated[Path, Parameter(help="Run folder.", validator=_is_run)]

RunFolders = Annotated[
    list[Path],
    Parameter(help="RUN folders.", negative="", show_default=False, validator=_is_run),
]

DatasetFolder = Annotated[Path, Parameter(help="Dataset folder.", validator=_is_dataset)]


def dataset_folder(help: str) -> Parameter:
    """Make an option that names a dataset."""
    return Parameter(help=help, validator=_is_dataset)


def output(what: str) -> Parameter:
    """``-o``, described as ``what``."""
    return Parameter(name=["--output", "-o"], help=what)
