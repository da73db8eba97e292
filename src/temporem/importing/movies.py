"""Rules by which images become movies, and what speaks against one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from temporem.errors import TemporemError
from temporem.importing.movie_names import plain_names
from temporem.importing.table import ForeignParticles
from temporem.importing.two_particles import two_particles, unplaced
from temporem.io.close_names import close_names
from temporem.io.star import StarTable

_OWN = (
    ("rlnParticleName", "rlnMovieFrameNumber"),
    ("rlnOriginalParticleName", "rlnMovieFrameNumber"),
)
_TIME = "temporemTimeSeconds"
_MOST_CANDIDATES = 6


@dataclass(frozen=True)
class MovieRule:
    """The rule that the user names; at most one of its parts is set.

    Attributes:
        movie_column: images with the same text in it are a movie.
        frame_column: number, time or dose by which they are ordered; the order of rows if None.
        frames_per_movie: so many images that follow one another in a stack are a movie.
        stack_is_movie: every stack is a movie.
        csv: table with the columns ``image``, ``movie`` and, if there are any, ``frame``, ``time``
            (s).
    """

    movie_column: str | None = None
    frame_column: str | None = None
    frames_per_movie: int | None = None
    stack_is_movie: bool = False
    csv: StarTable | None = None


@dataclass(frozen=True)
class Movies:
    """The movie, frame number and time of N images.

    Attributes:
        names: movie of each image, ``(N,)`` texts without spaces.
        numbers: position in its movie, from 1, ``(N,)``.
        times_seconds: ``(N,)`` or None.
        rule: the rule in words.
        doubt: a warning for the user where movies may be of several particles, or None.
    """

    names: np.ndarray
    numbers: np.ndarray
    times_seconds: np.ndarray | None
    rule: str
    doubt: str | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Number of frames of every movie."""
        return np.unique(self.names, return_counts=True)[1]


def make_movies(particles: ForeignParticles, rule: MovieRule) -> Movies:
    """Apply a rule, or the one that the table's own columns give.

    Raises:
        TemporemError: the rule cannot hold, two frames have one place, two particles of a
            micrograph would be one movie, or no rule is named and none is evident.
    """
    chosen = [
        rule.movie_column is not None or rule.frame_column is not None,
        rule.frames_per_movie is not None,
        rule.stack_is_movie,
        rule.csv is not None and "movie" in rule.csv,
    ]
    if sum(chosen) > 1:
        raise TemporemError(
            "several rules for movies",
            expected="one of --movie-from, --frames-per-movie, --stack-is-movie and a CSV file "
            "with a column movie",
        )
    if chosen[0]:
        movies = _by_columns(particles, rule)
    elif rule.frames_per_movie is not None:
        movies = _by_number(particles, rule.frames_per_movie)
    elif rule.stack_is_movie:
        movies = _by_stack(particles)
    elif rule.csv is not None and chosen[3]:
        movies = _by_csv(particles, rule.csv)
    else:
        movies = _by_own_columns(particles)
    if movies.times_seconds is None:
        movies = replace(movies, times_seconds=_recorded_times(particles))
    _check_places(particles, movies)
    _check_times(particles, movies)
    return _with_doubt(particles, movies, certain=not any(chosen[:3]))


def csv_rows(particles: ForeignParticles, table: StarTable) -> np.ndarray:
    """Row of a CSV file for every image ``(N,)``, found by its column ``image``.

    An image is named ``NUMBER@STACK``, with or without the stack's folder, or by the number of its
    row in the table, from 1.

    Raises:
        TemporemError: an image is missing or there twice.
    """
    table.require("image")
    names = table.strings("image")
    place: dict[tuple[str, int], int] = {}
    if all(name.isdecimal() and len(name) < 10 for name in names):
        place = {("", int(name) - 1): row for row, name in enumerate(names)}
        keys = [("", int(row)) for row in particles.rows]
        wanted = keys
    else:
        for row, name in enumerate(names):
            number, at, stack = name.partition("@")
            if not (at and number.isdecimal() and len(number) < 10):
                good = np.arange(len(names)) != row
                table.check("image", good, "NUMBER@STACK or the number of a row, from 1")
            place[stack.replace("\\", "/").rsplit("/", 1)[-1], int(number) - 1] = row
        wanted = [
            (particles.stacks[stack].name, int(section))
            for stack, section in zip(particles.stack_index, particles.sections, strict=True)
        ]
    if len(place) < len(names):
        raise TemporemError(f"{table.where} names an image twice", expected="each image once")
    if len(set(wanted)) < len(wanted):
        raise TemporemError(
            f"{particles.file}: two stacks have one file name, so {table.where} does not tell them "
            "apart",
            expected="numbers of rows, from 1, in the column image",
        )
    rows = np.array([place.get(key, -1) for key in wanted])
    particles.check(rows >= 0, f"{table.where} has no row for the image", "a row for every image")
    return rows


def _by_own_columns(particles: ForeignParticles) -> Movies:
    for name, number in _OWN:
        if name in particles.columns and number in particles.columns:
            table = StarTable({**_pick(particles.columns, name, number)}, where=str(particles.file))
            numbers = table.ints(number)
            table.check(number, numbers >= 1, "a frame number from 1")
            return Movies(
                plain_names(table.texts(name)), numbers, None, f"the columns _{name} and _{number}"
            )
    raise TemporemError(
        f"{particles.file} does not say which images are frames of one molecule",
        expected="a rule for movies: --movie-from COLUMN [--frame-from COLUMN], "
        "--frames-per-movie N, --stack-is-movie, or a CSV file with the columns image, movie, "
        "frame",
        hint=_candidates(particles),
    )


def _by_columns(particles: ForeignParticles, rule: MovieRule) -> Movies:
    if rule.movie_column is None:
        raise TemporemError("--frame-from needs --movie-from")
    movie = _text_column(particles, rule.movie_column)
    said = f"images with the same {rule.movie_column} are a movie"
    if rule.frame_column is None:
        numbers = _ranks(movie, np.arange(len(movie)))
        return Movies(plain_names(movie), numbers, None, f"{said}, in the order of the rows")
    frame = _text_column(particles, rule.frame_column)
    numbers = _numbers_of(particles, movie, frame, rule.frame_column)
    return Movies(plain_names(movie), numbers, None, f"{said}, ordered by {rule.frame_column}")


def _by_number(particles: ForeignParticles, length: int) -> Movies:
    if length < 1:
        raise TemporemError(f"--frames-per-movie {length}", expected="1 or more")
    order = np.lexsort((particles.sections, particles.stack_index))
    stacks, counts = np.unique(particles.stack_index, return_counts=True)
    for stack, count in zip(stacks, counts, strict=True):
        if count % length:
            raise TemporemError(
                f"{particles.stacks[stack]}: {count} images are in use, which is no multiple of "
                f"{length}",
                expected="whole movies in every stack",
                hint="choose another rule for movies",
            )
    start = order[np.arange(len(order)) // length * length]
    same = particles.stack_index[order] == particles.stack_index[start]
    follows = (
        particles.sections[order] - particles.sections[start] == np.arange(len(order)) % length
    )
    valid = np.ones(len(order), dtype=bool)
    valid[order] = same & (follows | (length == 1))
    particles.check(
        valid,
        "images are missing from the stack before it, so counting gives wrong movies",
        f"{length} images that follow one another",
        "choose another rule for movies",
    )
    names = np.empty(len(order), dtype=np.dtypes.StringDType())
    width = len(str(len(order) // length))
    names[order] = [f"movie_{i // length + 1:0{width}d}" for i in range(len(order))]
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.arange(len(order)) % length + 1
    said = f"{length} images that follow one another in a stack are a movie"
    return Movies(names, numbers, None, "every image for itself" if length == 1 else said)


def _by_stack(particles: ForeignParticles) -> Movies:
    names = [str(path.stem) for path in particles.stacks]
    if len(set(names)) < len(names):
        width = len(str(len(names)))
        names = [f"{i:0{width}d}_{name}" for i, name in enumerate(names, start=1)]
    texts = np.array(names, dtype=np.dtypes.StringDType())[particles.stack_index]
    numbers = _ranks(particles.stack_index, particles.sections)
    return Movies(plain_names(texts), numbers, None, "every stack is a movie")


def _by_csv(particles: ForeignParticles, csv: StarTable) -> Movies:
    rows = csv_rows(particles, csv)
    movie = csv.texts("movie")[rows]
    times = csv.floats("time")[rows] if "time" in csv else None
    if "frame" in csv:
        numbers = csv.ints("frame")[rows]
        csv.check("frame", csv.ints("frame") >= 1, "a frame number from 1")
    elif times is not None:
        numbers = _ranks(movie, times)
    else:
        numbers = _ranks(movie, rows)
    return Movies(plain_names(movie), numbers, times, f"the columns of {csv.where}")


def _recorded_times(particles: ForeignParticles) -> np.ndarray | None:
    """Times that the file has, s ``(N,)``; None without them. Every rule keeps them."""
    if _TIME not in particles.columns:
        return None
    return StarTable(_pick(particles.columns, _TIME), where=str(particles.file)).floats(_TIME)


def _with_doubt(particles: ForeignParticles, movies: Movies, *, certain: bool) -> Movies:
    """Refuse movies of several particles; what a table states as certain is doubted in words."""
    pair = two_particles(particles, movies.names, movies.numbers)
    if pair is not None and certain:
        return replace(movies, doubt=f"Warning: {pair}. Look again at {movies.rule}.")
    if pair is not None:
        raise TemporemError(
            f"{particles.file}: {pair}",
            expected="one particle in a movie",
            hint="choose another rule; --frames-per-movie 1 takes every image for itself, and a "
            "CSV file with the column movie is taken at its word",
        )
    micrograph = unplaced(particles, movies.names)
    if micrograph is not None and not certain:
        return replace(
            movies,
            doubt=f"Warning: movies have several images of one micrograph ({micrograph}), and the "
            "file has no coordinates. So nothing tells if they show one particle.",
        )
    return movies


def _check_places(particles: ForeignParticles, movies: Movies) -> None:
    keys = np.unique(movies.names, return_inverse=True)[1]
    pairs = np.stack([keys, movies.numbers], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    once = np.zeros(len(pairs), dtype=bool)
    once[first] = True
    if not once.all():
        row = int(np.argmin(once))
        particles.check(
            once,
            f"its movie {movies.names[row]} has another frame {movies.numbers[row]} already, by "
            f"the rule: {movies.rule}",
            "each frame once in a movie",
            "are these two particles? choose another rule for movies",
        )


def _check_times(particles: ForeignParticles, movies: Movies) -> None:
    """Times rise with the frame numbers of a movie."""
    if movies.times_seconds is None:
        return
    order = np.lexsort((movies.numbers, np.unique(movies.names, return_inverse=True)[1]))
    same = movies.names[order][1:] == movies.names[order][:-1]
    rising = np.ones(len(order), dtype=bool)
    rising[order[1:]] = ~same | (np.diff(movies.times_seconds[order]) > 0)
    particles.check(
        rising,
        "its time is not later than that of the frame before in its movie, by the rule: "
        f"{movies.rule}",
        "times that rise in a movie",
        "are these two particles? choose another rule for movies",
    )


def _candidates(particles: ForeignParticles) -> str:
    """Columns whose values are shared by several images each, with what they would give."""
    found = []
    for name in particles.columns:
        values = particles.columns[name]
        counts = np.unique(values, return_counts=True)[1]
        if not (1 < len(counts) < len(particles)) or counts.min() < 2:
            continue
        ranks = _ranks(values, np.arange(len(values)))
        if two_particles(particles, values, ranks) is None:
            found.append((_looks_like_text(values), name, counts))
    found.sort(key=lambda item: (-item[0], -len(item[2])))
    said = [
        f"{name} ({len(counts)} movies of {_range(counts)} frames)"
        for _, name, counts in found[:_MOST_CANDIDATES]
    ]
    stacks = np.unique(particles.stack_index, return_counts=True)[1]
    if len(stacks) > 1 and stacks.min() > 1:
        said.append(f"the stack ({len(stacks)} movies of {_range(stacks)} frames)")
    if not said:
        return "no column is shared by several images each"
    return "columns that could serve: " + ", ".join(said)


def _looks_like_text(values: np.ndarray) -> bool:
    return not re.fullmatch(r"[-+0-9.eE]*", str(values[0]))


def _range(counts: np.ndarray) -> str:
    low, high = counts.min(), counts.max()
    return str(low) if low == high else f"{low} to {high}"


def _pick(columns: Mapping[str, np.ndarray], *names: str) -> dict[str, np.ndarray]:
    return {name: columns[name] for name in names}


def _text_column(particles: ForeignParticles, name: str) -> np.ndarray:
    known = name.removeprefix("_")
    if known not in particles.columns:
        close = close_names(known, particles.columns) or sorted(particles.columns)
        raise TemporemError(
            f"{particles.file} has no column {name}",
            expected=close[0] if len(close) == 1 else f"one of {', '.join(close)}",
        )
    return particles.columns[known]


def _numbers_of(
    particles: ForeignParticles, movie: np.ndarray, frame: np.ndarray, column: str
) -> np.ndarray:
    """Frame numbers from a column of numbers: whole ones from 1 as they are, others by rank."""
    try:
        values = frame.astype(np.float64)
    except ValueError:
        raise TemporemError(
            f"{particles.file}: {column} is not a number everywhere",
            expected="a column of numbers, times or doses for --frame-from",
        ) from None
    particles.check(np.isfinite(values), f"{column} is not finite", "a number")
    if (values >= 1).all() and (values == np.round(values)).all() and values.max() < 2**31:
        return values.astype(np.int64)
    ranks = _ranks(movie, values)
    order = np.lexsort((values, np.unique(movie, return_inverse=True)[1]))
    twice = np.zeros(len(values), dtype=bool)
    equal = (movie[order][1:] == movie[order][:-1]) & (np.diff(values[order]) == 0)
    twice[order[1:][equal]] = True
    particles.check(
        ~twice, f"another frame of its movie has the same {column}", "each frame once in a movie"
    )
    return ranks


def _ranks(movie: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Position from 1 of every value within its movie."""
    group = np.unique(movie, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((values, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    lengths = np.diff(np.append(starts, len(order)))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, lengths) + 1
    return ranks
