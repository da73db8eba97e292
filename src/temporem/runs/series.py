"""Series of volumes to export: those of frames, or of any latents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from temporem.runs.latent_points import LatentPoints
from temporem.runs.run import Run
from temporem.volumes.source import Reconstruction

_LONGEST_NAME = 80  # characters of a movie's name in the name of a file


@dataclass(frozen=True, eq=False)
class Series:
    """Volumes to export, in order.

    Attributes:
        source: decodes the volumes: the run, or its model at other latents.
        rows: rows of the source, ``(n,)``.
        names: name of each for files, without ending.
        labels: words on each for pictures.
        times_seconds: ``(n,)``, NaN where there are no times.
        record: JSON value that says which volumes they are.
    """

    source: Reconstruction
    rows: np.ndarray
    names: list[str]
    labels: list[str]
    times_seconds: np.ndarray
    record: dict[str, Any]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def of_frames(self) -> bool:
        """The volumes are those of frames of a run."""
        return isinstance(self.source, Run)

    @property
    def interval_seconds(self) -> float | None:
        """Time between the volumes; None where it is not known or not constant."""
        steps = np.diff(self.times_seconds)
        if len(steps) == 0 or not np.isfinite(steps).all() or steps.min() <= 0:
            return None
        mean = float(steps.mean())
        return mean if np.abs(steps - mean).max() <= 0.01 * mean else None


def frames_series(run: Run, rows: np.ndarray) -> Series:
    """Take the volumes of frames; names carry row, movie, number and time of the frame.

    Args:
        run: a finished run.
        rows: rows of ``particles.star``, ``(n,)``.
    """
    names, labels = [], []
    for row in rows.tolist():
        movie, number = run.particle_names[row], int(run.frame_numbers[row])
        time = float(run.times_seconds[row])
        when = f"_{np.format_float_positional(time, 6, trim='-')}s" if np.isfinite(time) else ""
        names.append(f"frame_{row:06d}_{_file_name(movie)}_{number:04d}{when}")
        labels.append(f"{movie}, frame {number}")
    return Series(run, rows, names, labels, run.times_seconds[rows], {"rows": rows.tolist()})


def points_series(run: Run, points: LatentPoints) -> Series:
    """Take the volumes of latents, which need not be those of frames."""
    z = torch.from_numpy(points.z).to(run.latent_means.device)
    model = Reconstruction(grid=run.grid, generator=run.generator, latent_means=z)
    n = len(z)
    record = {"latents": points.z.tolist(), "names": points.names}
    return Series(model, np.arange(n), points.names, points.labels, np.full(n, np.nan), record)


def _file_name(text: str) -> str:
    """The end of a text, with only characters that need no quotation marks anywhere."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text)[-_LONGEST_NAME:].strip("_.") or "movie"
