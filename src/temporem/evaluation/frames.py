"""Frames of an evaluation, and their groups for resampling."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

MAX_GROUPS = 100
"""Groups that are resampled; with more movies than this, a group holds several movies."""


class Movies(Protocol):
    """Frames that belong to movies: a dataset or a truth."""

    @property
    def movies(self) -> Sequence[np.ndarray]:
        """Rows of each movie in the order of its frames."""
        ...

    @property
    def particle_names(self) -> Sequence[str]:
        """Movie of every frame, by name."""
        ...

    @property
    def frame_numbers(self) -> np.ndarray:
        """Position of every frame in its movie, from 1, ``(N,)``."""
        ...


@dataclass(frozen=True, eq=False)
class EvaluatedFrames:
    """Frames of a dataset, in the order in which they are evaluated.

    Attributes:
        rows: rows of ``particles.star``, counted from 0, int64 ``(n,)``.
        movie: index of the movie of each frame, int64 ``(n,)``.
        particle_names: ``rlnParticleName`` of each frame, str ``(n,)``.
        frame_numbers: ``rlnMovieFrameNumber``, int64 ``(n,)``.
        held_out: the frame's movie was kept from training, bool ``(n,)``.
    """

    rows: np.ndarray
    movie: np.ndarray
    particle_names: np.ndarray
    frame_numbers: np.ndarray
    held_out: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.rows)
        if n == 0 or any(len(column) != n for column in self.columns().values()):
            raise ValueError("frames need at least one row and columns of one length")
        if len(np.unique(self.rows)) != n:
            raise ValueError("a row occurs twice among the frames to evaluate")

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of_movies(cls, movies: Movies, *, held_out: Collection[int] = ()) -> EvaluatedFrames:
        """All frames, movie after movie.

        Args:
            movies: a dataset or a truth.
            held_out: indices of movies kept from training.
        """
        rows = np.concatenate(movies.movies).astype(np.int64)
        movie = np.repeat(np.arange(len(movies.movies)), [len(rows) for rows in movies.movies])
        return cls(
            rows=rows,
            movie=movie,
            particle_names=np.asarray(movies.particle_names, dtype=np.str_)[rows],
            frame_numbers=np.asarray(movies.frame_numbers, dtype=np.int64)[rows],
            held_out=np.isin(movie, list(held_out)),
        )

    def at(self, chosen: np.ndarray) -> EvaluatedFrames:
        """Some of the frames: bool ``(n,)``, or their positions."""
        return EvaluatedFrames(**{name: array[chosen] for name, array in self.columns().items()})

    @property
    def groups(self) -> np.ndarray:
        """Group 0 … G − 1 of each frame, ``(n,)``: its movie, or several with many movies.

        Held-out movies and others never share a group; there are at most ``MAX_GROUPS`` of each.
        """
        group, start = np.empty(len(self), dtype=np.int64), 0
        for part in (~self.held_out, self.held_out):
            movies, index = np.unique(self.movie[part], return_inverse=True)
            n_groups = min(len(movies), MAX_GROUPS)
            group[part] = start + index * n_groups // max(len(movies), 1)
            start += n_groups
        return group

    def columns(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        return {
            "rows": self.rows,
            "movie": self.movie,
            "particle_names": self.particle_names,
            "frame_numbers": self.frame_numbers,
            "held_out": self.held_out,
        }

    def same_as(self, other: EvaluatedFrames) -> bool:
        """True if both list the same frames in the same order."""
        mine, theirs = self.columns(), other.columns()
        return all(np.array_equal(mine[name], theirs[name]) for name in mine)
