"""``results.json``: what was measured, written anew after every measurement."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from temporem.errors import TemporemError
from temporem.io.files import atomic_write

FORMAT = "temporem benchmark 1"


class Record:
    """Measurements by their names, and the cases that are finished.

    Args:
        path: of the file.
        document: what it holds.
    """

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.document = document

    @classmethod
    def open(
        cls, path: Path, settings: Mapping[str, Any], machine: Mapping[str, Any], *, resume: bool
    ) -> Record:
        """Begin a record, or go on with one.

        Args:
            path: of the file.
            settings: what the measurements are of; the same when going on.
            machine: where and with what; kept for every session.
            resume: go on with a file that is there.

        Raises:
            TemporemError: nothing to go on with, or a record of other settings.
        """
        if resume:
            record = cls(path, _read(path))
            for key, value in record.document["settings"].items():
                if settings.get(key) != value:
                    raise TemporemError(
                        f"{path} was measured with {key} = {value}, and now it is "
                        f"{settings.get(key)}",
                        expected="the same options to resume",
                        hint="measure into another folder",
                    )
        else:
            empty: dict[str, Any] = {"measurements": {}, "cases": {}}
            started = {"format": FORMAT, "settings": dict(settings), "sessions": []}
            record = cls(path, {**started, **empty})
        record.document["sessions"].append(dict(machine))
        record.save()
        return record

    def measured(self, key: str) -> bool:
        return key in self.document["measurements"]

    def measure(self, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was measured under a name; ``work`` measures it where it was not yet."""
        measurements = self.document["measurements"]
        if not self.measured(key):
            session = len(self.document["sessions"]) - 1
            measurements[key] = {"session": session, **work()}
            self.save()
        return measurements[key]

    def finished(self, case: str) -> bool:
        return case in self.document["cases"]

    def finish(self, case: str, result: dict[str, Any]) -> None:
        """Keep the result of a case."""
        self.document["cases"][case] = result
        self.save()

    def save(self) -> None:
        with atomic_write(self.path) as partial:
            text = json.dumps(self.document, indent=2, ensure_ascii=False)
            partial.write_text(text + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TemporemError(f"{path} is not there", hint="leave --resume out") from None
    except ValueError as error:
        raise TemporemError(f"{path} is not readable ({error})") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise TemporemError(f"{path} is no record of a benchmark", expected=f"format {FORMAT}")
    return document
