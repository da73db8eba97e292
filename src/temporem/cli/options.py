"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from temporem.errors import TemporemError
from temporem.io.leftovers import adopt_leftovers
from temporem.io.signatures import refuse_foreign


def refuse_missing(
    is_there: Callable[[Path], bool], problem: str, *, expected: str, hint: str
) -> Callable[[object, Any], None]:
    """Make a check that refuses a missing input before anything heavy is imported.

    It first restores a folder that a crash left under a temporary name.

    Args:
        is_there: tells if the input exists at a path.
        problem: message for a path that holds something else.
        expected: valid input.
        hint: way to make one.
    """

    def check(_: object, given: Path | Sequence[Path] | None) -> None:
        if os.environ.get("WORLD_SIZE", "1") != "1":
            return  # after the processes have joined, the first one reports the error
        for path in [given] if isinstance(given, Path) else given or []:
            adopt_leftovers(path)
            if not is_there(path):
                refuse_foreign(path, expected=expected)
                fault = problem if path.exists() else "does not exist"
                raise TemporemError(f"{path} {fault}", expected=expected, hint=hint)

    return check


_is_run = refuse_missing(
    Path.is_dir,
    "is not a folder",
    expected="a run folder with config.yaml",
    hint="make one with temporem reconstruct",
)
_is_dataset = refuse_missing(
    Path.exists,
    "does not exist",
    expected="a dataset",
    hint="make one with temporem simulate, or of data of yours with temporem import",
)

Overwrite = Annotated[
    bool,
    Parameter(negative="", show_default=False, help="Replace the output if it exists already."),
]

Settings = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        show_default=False,
        help="Change one setting: key=value or section.key=value. May be repeated.",
    ),
]

Json = Annotated[
    bool,
    Parameter(
        name="--json", negative="", show_default=False, help="Print JSON instead of a table."
    ),
]

All = Annotated[
    bool,
    Parameter(
        name="--all",
        negative="",
        show_default=False,
        help="Show all numbers, not only the main ones.",
    ),
]

Baseline = Annotated[
    str | None,
    Parameter(help="Name of the run to compare the others with; the first by default."),
]

RunFolder = Annotated[Path, Parameter(help="Run folder that reconstruct wrote.", validator=_is_run)]

RunFolders = Annotated[
    list[Path],
    Parameter(help="Run folders.", negative="", show_default=False, validator=_is_run),
]

DatasetFolder = Annotated[
    Path, Parameter(help="Dataset folder with particles.star.", validator=_is_dataset)
]


def dataset_folder(help: str) -> Parameter:
    """Make an option that names a dataset."""
    return Parameter(help=help, validator=_is_dataset)


def output(what: str) -> Parameter:
    """Make the option ``-o`` with the help text ``what``."""
    return Parameter(name=["--output", "-o"], help=what)
