"""Tables of particles' places in movies: CSV with movie, track, frame, x and y."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.io.text_file import read_text

_MOST_BYTES = 2**28
_MOST_ROWS = 3 * 10**6  # each takes some 300 bytes while it is read
_COLUMNS = ("movie", "track", "frame", "x", "y")


@dataclass(frozen=True, eq=False)
class Positions:
    """Places of particles, a row for each particle and frame.

    Attributes:
        movies: name of the movie's file, str ``(N,)``.
        tracks: the particle, unique within its movie, str ``(N,)``.
        frames: number of the frame, from 1, ``(N,)``.
        places: x and y, pixels; the centre of the first pixel is 0, ``(N, 2)``.
        more: further columns of a table that is written.
    """

    movies: np.ndarray
    tracks: np.ndarray
    frames: np.ndarray
    places: np.ndarray
    more: Mapping[str, Sequence[object]] = field(default_factory=dict)


def write_positions(path: Path, positions: Positions) -> None:
    """Write a table of places."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, *positions.more))
    columns = (positions.movies, positions.tracks, positions.frames)
    x, y = np.char.mod("%.3f", positions.places.T.reshape(2, -1))
    writer.writerows(zip(*columns, x, y, *positions.more.values(), strict=True))
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def read_positions(path: str | Path, *, only_movie: str = "") -> Positions:
    """Read a table of places; other columns are ignored.

    Args:
        path: a CSV file with the columns ``track``, ``frame``, ``x`` and ``y``, and ``movie``.
        only_movie: the movie of all rows where the table has no such column.

    Raises:
        TemporemError: no such file, columns missing, or a value that is no number.
    """
    path = Path(path)
    text = read_text(path, most_bytes=_MOST_BYTES)
    try:
        return _read(csv.DictReader(io.StringIO(text)), path, only_movie)
    except csv.Error as error:
        raise TemporemError(f"{path} is not a CSV file ({error})") from None


def _read(rows: csv.DictReader[str], path: Path, only_movie: str) -> Positions:
    names = rows.fieldnames or []
    needed = [name for name in _COLUMNS if name != "movie" or not only_movie]
    missing = [name for name in needed if name not in names]
    if missing:
        raise TemporemError(
            f"{path} lacks the column {' and '.join(missing)}",
            expected=f"a CSV table with {', '.join(_COLUMNS)}",
        )
    movies, tracks, frames, places = [], [], [], []
    for number, row in enumerate(rows):
        if number == _MOST_ROWS:
            raise TemporemError(
                f"{path} has more than {_MOST_ROWS:,} rows", hint="split it and the movies"
            )
        try:
            frame, place = int(row["frame"]), (float(row["x"]), float(row["y"]))
        except (TypeError, ValueError):
            raise _bad(path, number, "frame, x or y is no number") from None
        if not (1 <= frame < 2**31 and all(abs(value) < 1e7 for value in place)):  # false for NaN
            raise _bad(path, number, f"frame {frame} at {place} is impossible")
        movies.append(row.get("movie") or only_movie)
        tracks.append(row["track"] or "")
        frames.append(frame)
        places.append(place)
    if not frames:
        raise TemporemError(f"{path} has no rows", expected="at least one row")
    return Positions(
        movies=_texts(movies, path),
        tracks=_texts(tracks, path),
        frames=np.array(frames, dtype=np.int64),
        places=np.array(places, dtype=np.float64),
    )


def _texts(values: list[str], path: Path) -> np.ndarray:
    """Names as an array, in which all take the room of the longest."""
    longest = max(map(len, values))
    if longest * len(values) > _MOST_BYTES:
        raise TemporemError(f"{path} has a name of {longest} characters", expected="shorter names")
    return np.array(values, dtype=str)


def _bad(path: Path, row: int, what: str) -> TemporemError:
    return TemporemError(
        f"{path} row {row} (counted from 0): {what}", expected="whole frames from 1"
    )
