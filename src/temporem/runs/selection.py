"""Selections of a run's frames: by condition, movie, cluster, or a list in a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.text_file import read_text
from temporem.runs.frames_table import numeric_columns
from temporem.runs.latent_points import cluster_frames, latents_of_run
from temporem.runs.run import Run
from temporem.runs.where import rows_where

_MOST_CSV_BYTES = 2**28


@dataclass(frozen=True)
class Criteria:
    """Properties that selected frames share. All that are given must hold; none takes all frames.

    Attributes:
        where: condition (:func:`temporem.runs.where.rows_where`).
        movies: names of movies.
        cluster: number of a cluster from 1, and number of clusters.
        frames_csv: file with the columns ``movie`` and ``frame``, or ``row``.
        seed: of the clusters.
    """

    where: str | None = None
    movies: Sequence[str] | None = None
    cluster: tuple[int, int] | None = None
    frames_csv: Path | None = None
    seed: int = 0


def select_frames(run: Run, criteria: Criteria) -> np.ndarray:
    """Find the frames that fulfil criteria: rows of ``frames.star``, ascending, ``(n,)``.

    Raises:
        TemporemError: a criterion is not understood, or no frame fulfils all.
    """
    chosen = np.ones(run.n_frames, dtype=bool)
    names = np.array(run.particle_names)
    if criteria.where is not None:
        columns = columns_of(run)
        chosen &= rows_where(criteria.where, columns)
        if not chosen.any():
            raise TemporemError(
                f"no frame fulfils '{criteria.where}'",
                expected=f"a condition within {_ranges(criteria.where, columns)}",
            )
    if criteria.movies is not None:
        for movie in criteria.movies:
            run.rows_of_movie(movie)
        chosen &= np.isin(names, list(criteria.movies))
    if criteria.cluster is not None:
        number, k = criteria.cluster
        if not 1 <= number <= k:
            raise TemporemError(
                f"there is no cluster {number} of {k}",
                expected=f"a number from 1 to {k}" if k else "one cluster or more",
            )
        chosen &= cluster_frames(latents_of_run(run), k, criteria.seed).label == number
    if criteria.frames_csv is not None:
        listed = np.zeros(run.n_frames, dtype=bool)
        listed[_read_csv(run, criteria.frames_csv)] = True
        chosen &= listed
    if not chosen.any():
        raise TemporemError(
            "no frame fulfils all criteria", hint="leave one out to see which excludes the others"
        )
    return np.flatnonzero(chosen)


def columns_of(run: Run) -> dict[str, np.ndarray]:
    """Columns for conditions: ``z1`` …, ``movie``, ``frame``, ``time``, ``row``, and the table's.

    ``time`` is there if the dataset has times.
    """
    columns: dict[str, np.ndarray] = {}
    if run.latents is not None:
        columns |= {f"z{j}": values for j, values in enumerate(run.latents.T, start=1)}
    columns |= {"movie": np.array(run.particle_names), "frame": run.frame_numbers}
    if np.isfinite(run.times_seconds).all():
        columns["time"] = run.times_seconds
    return columns | {"row": np.arange(run.n_frames)} | numeric_columns(run.path)


def _ranges(text: str, columns: dict[str, np.ndarray]) -> str:
    """The span of every number that a condition names."""
    named = [
        f"{name} from {values.min():.4g} to {values.max():.4g}"
        for name, values in columns.items()
        if name in text and values.dtype.kind in "iuf"
    ]
    return ", ".join(named) or "the columns of frames.star"


def _read_csv(run: Run, path: Path) -> np.ndarray:
    """Rows that a CSV file names."""
    text = read_text(path, most_bytes=_MOST_CSV_BYTES).removeprefix("\ufeff")
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    rows: list[int] = []
    try:
        heads = {name.strip().lower(): name for name in reader.fieldnames or () if name}
        by_row = "row" in heads
        if not by_row and not {"movie", "frame"} <= heads.keys():
            raise TemporemError(
                f"{path} has the columns {', '.join(heads) or 'of no name'}",
                expected="movie and frame, or row",
            )
        row_of = dict(
            zip(
                zip(run.particle_names, run.frame_numbers.tolist(), strict=True),
                range(run.n_frames),
                strict=True,
            )
        )
        for line in reader:
            where = f"{path} line {reader.line_num}"
            if by_row:
                rows.append(_whole(line[heads["row"]], where, run.n_frames - 1))
                continue
            movie = (line[heads["movie"]] or "").strip()
            key = (movie, _whole(line[heads["frame"]], where, 2**62))
            if key not in row_of:
                raise TemporemError(
                    f"{where}: {run.path} has no frame {key[1]} of movie '{movie}'",
                    expected=f"frames such as {run.frame_numbers[0]} of {run.particle_names[0]}",
                )
            rows.append(row_of[key])
    except csv.Error as error:
        raise TemporemError(f"{path} is not readable as CSV ({error})") from None
    return np.array(rows, dtype=np.int64)


def _whole(text: str | None, where: str, most: int) -> int:
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) <= most):
        raise TemporemError(
            f"{where}: '{text}' is no whole number from 0 to {most}"
            if most < 2**62
            else f"{where}: '{text}' is no number of a frame"
        )
    return int(text)
