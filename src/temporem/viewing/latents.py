"""Latents of a run as a page draws them: columns of numbers, and the way back to latents."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from temporem.errors import TemporemError
from temporem.runs.frames_table import read_predicted
from temporem.runs.latent_points import LatentPoints, latents_of_run, principal_axes
from temporem.runs.names import PREDICTED
from temporem.runs.run import Run

if TYPE_CHECKING:
    from temporem.viewing.sources import ShownRun

_MOST_POINTS = 200  # of a path


@dataclass(frozen=True, eq=False)
class LatentColumns:
    """Coordinates of N latents: C columns, each an affine function ``direction · z + offset``.

    Attributes:
        names: ``z1`` … and, with several, ``PC1`` …: the most variable first.
        values: float32 ``(N, C)``.
        deviations: posterior standard deviations, float32 ``(N, C)``; None where not known.
        directions: ``(C, q)``.
        offsets: ``(C,)``.
        mean: of the latents, ``(q,)``.
    """

    names: list[str]
    values: np.ndarray
    deviations: np.ndarray | None
    directions: np.ndarray
    offsets: np.ndarray
    mean: np.ndarray

    def document(self) -> dict[str, Any]:
        """JSON value; arrays are base64 of float32, column by column."""
        return {
            "names": self.names,
            "values": [_packed(column) for column in self.values.T],
            "deviations": None
            if self.deviations is None
            else [_packed(column) for column in self.deviations.T],
            "directions": self.directions.tolist(),
            "offsets": self.offsets.tolist(),
            "mean": self.mean.tolist(),
        }


def latent_columns(run: Run) -> LatentColumns:
    """Take latents along their own axes and along their principal ones.

    Raises:
        TemporemError: the method has no latents.
    """
    z = latents_of_run(run)
    q, mean = z.shape[1], z.mean(0)
    axes = principal_axes(z) if q > 1 else np.zeros((0, q))
    directions = np.concatenate([np.eye(q), axes])
    offsets = np.concatenate([np.zeros(q), -axes @ mean])
    deviations = None
    if run.latent_covariance is not None:
        deviations = _deviations(directions, run.latent_covariance)
    return LatentColumns(
        names=[f"z{i + 1}" for i in range(q)] + [f"PC{i + 1}" for i in range(len(axes))],
        values=(z @ directions.T + offsets).astype(np.float32),
        deviations=deviations,
        directions=directions,
        offsets=offsets,
        mean=mean,
    )


def predicted_document(shown: ShownRun, columns: LatentColumns) -> dict[str, Any] | None:
    """Latents at frame numbers that movies lack, as a JSON value; None where there are none.

    Movie of each, its place between the frames of the movie, seconds since the first of these where
    times are known, and the columns as :meth:`LatentColumns.document` has them.
    """
    found = None if shown.half else read_predicted(shown.path, columns.directions.shape[1])
    if found is None:
        return None
    movie, place, seconds = [], [], []
    index_of = {shown.movie_name(index): index for index in range(len(shown.movies))}
    unknown = sorted(set(found.particle_names) - set(index_of))
    if unknown:
        raise TemporemError(
            f"{shown.path / PREDICTED} has {unknown[0]}", expected="movies of the run"
        )
    for name, number in zip(found.particle_names, found.frame_numbers, strict=True):
        rows = shown.movies[index_of[name]]
        numbers, times = shown.frame_numbers[rows], shown.times_seconds[rows]
        movie.append(index_of[name])
        place.append(np.interp(number, numbers, np.arange(len(rows))))
        seconds.append(np.interp(number, numbers, times - times[0]))
    known = bool(np.isfinite(seconds).all())
    values = found.mean @ columns.directions.T + columns.offsets
    return {
        "movie": packed_whole(np.array(movie)),
        "place": _packed(np.array(place)),
        "seconds": _packed(np.array(seconds)) if known else None,
        "values": [_packed(column) for column in values.T],
        "deviations": [_packed(c) for c in _deviations(columns.directions, found.covariance).T],
    }


def _deviations(directions: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Standard deviations along directions ``(C, q)``, of covariances ``(N, q, q)``: ``(N, C)``."""
    variance = np.einsum("ci,nij,cj->nc", directions, covariance, directions)
    return np.sqrt(variance.clip(min=0)).astype(np.float32)


def read_points(run: Run, text: str) -> LatentPoints:
    """Read latents ``a,b;c,d`` of a request.

    Raises:
        TemporemError: not numbers, too many, or of another dimension.
    """
    q = latents_of_run(run).shape[1]
    parts = text.split(";")
    if len(parts) > _MOST_POINTS:
        raise TemporemError(f"{len(parts)} latents", expected=f"at most {_MOST_POINTS}")
    try:
        z = np.array([[float(value) for value in part.split(",")] for part in parts])
    except ValueError:
        z = np.zeros((0, 0))
    if z.ndim != 2 or z.shape[1] != q or not np.isfinite(z).all() or np.abs(z).max() > 1e18:
        raise TemporemError(f"'{text:.60}' are no latents", expected=f"{q} numbers for each")
    labels = [f"step {i + 1}" for i in range(len(z))]
    return LatentPoints(z.astype(np.float32), [f"step_{i:03d}" for i in range(len(z))], labels)


def packed_whole(values: np.ndarray) -> str:
    """Base64 of numbers from 0 as uint32."""
    return base64.b64encode(np.ascontiguousarray(values, "<u4").tobytes()).decode("ascii")


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")
