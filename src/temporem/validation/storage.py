"""Results of tests in a run's folder: ``RUN/validation/<test>.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.io.json_file import read_json_object
from temporem.io.outputs import require_no_links
from temporem.io.settings import validate_settings
from temporem.runs.names import VALIDATION
from temporem.version import __version__

FORMAT = "temporem validation 1"
_HINT = "validate the run again with --overwrite"

Facts = TypeVar("Facts", bound=BaseModel)


def result_file(run: Path, test: str) -> Path:
    """The file of a test's result."""
    return run / VALIDATION / f"{test}.json"


def save_result(run: Path, test: str, facts: BaseModel) -> Path:
    """Write the result of a test, whole or not at all; returns its file."""
    path = result_file(run, test)
    require_no_links([path.parent, path])
    path.parent.mkdir(exist_ok=True)
    document: Mapping[str, Any] = {
        "format": FORMAT,
        "temporem_version": __version__,
        **facts.model_dump(),
    }
    with atomic_write(path) as partial:
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        partial.write_text(text, encoding="utf-8")
    return path


def load_result(run: Path, test: str, kind: type[Facts]) -> Facts | None:
    """Read the result of a test; None if the run was not tested.

    Raises:
        TemporemError: a damaged result, or one of another version.
    """
    path = result_file(run, test)
    if not path.is_file():
        return None
    document = read_json_object(path, form=FORMAT, hint=_HINT)
    own = {key: document[key] for key in document if key not in ("format", "temporem_version")}
    return validate_settings(kind, own, source=str(path))


def require_free(run: Path, test: str) -> None:
    """Raise a TemporemError if a result is there already."""
    path = result_file(run, test)
    if path.exists():
        raise TemporemError(f"{path} exists", hint="pass --overwrite to replace it")
