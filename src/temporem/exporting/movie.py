"""Pictures of a series for movies of any format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from temporem.errors import TemporemError
from temporem.exporting.base import ExportJob
from temporem.report.scene import Scene, make_scene
from temporem.runs.export import Cut, require_sizes

SIZES = (100, 4096)
"""Smallest and largest edge of a picture, pixels."""


class Pictures(Protocol):
    """Pictures of one size, one after another."""

    def __len__(self) -> int: ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a picture, pixels, both even."""
        ...

    def pictures(self) -> Iterator[np.ndarray]:
        """RGB ``(height, width, 3)`` uint8."""
        ...

    def colours(self) -> np.ndarray:
        """An RGB picture that has the colours of all."""
        ...


class Movie:
    """The pictures of a job, drawn one after another.

    Attributes:
        scene: level, direction and colours of all.
    """

    def __init__(self, job: ExportJob) -> None:
        require_looks(job)
        self._job = job
        self._cut = Cut(job.series, job.options)
        pictures = job.pictures
        sample = self._cut.sample()
        self._ends = sample[[0, len(sample) // 2, -1]]
        self.scene: Scene = make_scene(
            sample,
            self._cut.pixel_size_angstrom,
            size=pictures.size,
            level=pictures.level,
        )

    def __len__(self) -> int:
        return len(self._job.series)

    @property
    def size(self) -> tuple[int, int]:
        return self.scene.size, self.scene.size

    def pictures(self) -> Iterator[np.ndarray]:
        """RGB ``(size, size, 3)`` uint8."""
        series, progress = self._job.series, self._job.progress
        for i, volume in enumerate(self._cut.each()):
            time = float(series.times_seconds[i])
            yield self.scene.picture(volume, series.labels[i], time)
            progress(i + 1, len(series), f"{i + 1} of {len(series)} pictures")

    def colours(self) -> np.ndarray:
        """Some pictures one above another, which have the colours of all: ``(3 size, size, 3)``."""
        return np.concatenate([self.scene.picture(volume) for volume in self._ends])

    def sentences(self) -> list[str]:
        """Sentences for the user about the movie."""
        return [f"Surface at {self.scene.level}; another with --level."]


def require_looks(job: ExportJob) -> None:
    """Raise a TemporemError if the options of a movie are out of their limits."""
    require_sizes(job.options, job.run.grid.box)
    low, high = SIZES
    if not (low <= job.pictures.size <= high and job.pictures.size % 2 == 0):
        raise TemporemError(
            f"--size {job.pictures.size}", expected=f"an even number from {low} to {high}"
        )
    if not 0.1 <= job.pictures.frames_per_second <= 100:
        raise TemporemError(f"--fps {job.pictures.frames_per_second:g}", expected="0.1 to 100")
    if job.options.deviation:
        raise TemporemError("--deviation writes MRC files", hint="pass --format mrc")


def require_ending(out: Path, ending: str) -> None:
    """Raise a TemporemError if the name of a file ends otherwise."""
    if out.suffix.lower() != ending:
        raise TemporemError(f"-o {out}", expected=f"a name that ends in {ending}")
