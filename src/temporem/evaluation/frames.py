"""Which frames an evaluation covers, and which of them belong together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from temporem.errors import TemporemError

if TYPE_CHECKING:
    from temporem.frames.dataset import Dataset

MAX_GROUPS = 100
"""Groups that are resampled; with more movies than this, a group holds several movies."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of a dataset, in the order in which they are evaluated.

    Attributes:
        rows: rows of ``particles.star``, counted from 0, int64 ``(n,)``.
        movie: index of the movie of each frame, int64 ``(n,)``.
        particle_names: ``rlnParticleName`` of each frame, str ``(n,)``.
        frame_numbers: ``rlnMovieFrameNumber``, int64 ``(n,)``.
        held_out: whether the frame's movie was kept from training, bool ``(n,)``.
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
    def of_dataset(
        cls,
        dataset: Dataset,
        *,
        movies: Collection[int] | None = None,
        held_out: Collection[int] = (),
    ) -> Frames:
        """All frames of some movies, movie after movie.

        Args:
            dataset: where they come from.
            movies: indices into ``dataset.movies``; all when None.
            held_out: indices of movies kept from training.

        Raises:
            TemporemError: an index beyond the last movie.
        """
        chosen = sorted(range(len(dataset.movies)) if movies is None else movies)
        for index in [*chosen, *held_out]:
            if not 0 <= index < len(dataset.movies):
                raise TemporemError(
                    f"{dataset.path} has no movie {index}",
                    expected=f"0 to {len(dataset.movies) - 1}",
                )
        if not chosen:
            raise TemporemError("no movie to evaluate", hint="choose at least one")
        rows = np.concatenate([dataset.movies[index] for index in chosen]).astype(np.int64)
        movie = np.repeat(chosen, [len(dataset.movies[index]) for index in chosen])
        return cls(
            rows=rows,
            movie=movie,
            particle_names=np.asarray(dataset.particle_names, dtype=np.str_)[rows],
            frame_numbers=np.asarray(dataset.frame_numbers, dtype=np.int64)[rows],
            held_out=np.isin(movie, list(held_out)),
        )

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

    def same_as(self, other: Frames) -> bool:
        """Whether both list the same frames in the same order."""
        mine, theirs = self.columns(), other.columns()
        return all(np.array_equal(mine[name], theirs[name]) for name in mine)
