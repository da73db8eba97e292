"""Exports of a run in which a ball comes and goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from temporem.exporting.base import ExportJob, PictureOptions
from temporem.runs.export import ExportOptions
from temporem.runs.run import Run
from temporem.runs.series import Series

BOX = 16


def ball(x: float, radius: float) -> np.ndarray:
    axis = np.arange(BOX) - BOX // 2
    squares = axis[:, None, None] ** 2 + axis[:, None] ** 2 + (axis - x) ** 2
    return 1 / (1 + np.exp(2 * (np.sqrt(squares) - radius)))


def make_job(
    run: Run,
    series: Series,
    out: Path,
    *,
    crop: int | None = None,
    downsample: int | None = None,
    size: int = 128,
    fps: float = 8.0,
    level: float | None = None,
) -> ExportJob:
    """A small export."""
    sizes, looks = ExportOptions(downsample, crop), PictureOptions(size, fps, level)
    return ExportJob(run, series, out, sizes, looks)
