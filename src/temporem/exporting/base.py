"""The interface of a format: what it is given, and what it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from temporem.progress import Progress
from temporem.runs.export import ExportOptions
from temporem.runs.run import Run
from temporem.runs.series import Series


@dataclass(frozen=True)
class PictureOptions:
    """Look of movies.

    Attributes:
        size: edge of a picture, pixels.
        frames_per_second: volumes shown in a second.
        level: density of the surface; None to find it (:func:`find_level`).
    """

    size: int = 600
    frames_per_second: float = 8.0
    level: float | None = None


@dataclass(frozen=True, eq=False)
class ExportJob:
    """An export that was asked for.

    Attributes:
        run: a finished run.
        series: its volumes to export.
        out: file or folder to write.
        options: size and kind of the volumes.
        pictures: look of movies.
        overwrite: replace an output that exists.
        resume: continue a folder of MRC files that was stopped.
        progress: receives the progress.
    """

    run: Run
    series: Series
    out: Path
    options: ExportOptions
    pictures: PictureOptions
    overwrite: bool = False
    resume: bool = False
    progress: Progress = Progress()  # noqa: RUF009 - shows nothing


class Format(Protocol):
    """A format: one file in this folder, and one line in the registry."""

    name: str
    summary: str
    """Short description for ``--help``."""

    resumes: bool
    """An export that was stopped can be continued."""

    def check(self, out: Path) -> None:
        """Raise a TemporemError if the name does not fit the format, or a library is missing."""
        ...

    def write(self, job: ExportJob) -> list[str]:
        """Write the output whole or not at all; returns what to say about it, a sentence each."""
        ...
