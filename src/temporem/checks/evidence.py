"""Input of the checks: a dataset and statistics of its images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from temporem.frames.contrast import low_frequencies
from temporem.frames.dataset import Dataset
from temporem.frames.image_statistics import ImageStatistics
from temporem.frames.settings import DataSettings
from temporem.frames.streaming import FrameStack, examine_frames
from temporem.physics.forward import ForwardModel


@dataclass(frozen=True, eq=False)
class Evidence:
    """A dataset, how it would be prepared, and statistics of its images.

    Attributes:
        dataset: the movies.
        settings: preparation of images.
        images: statistics of the images as they are in the file.
        frames: prepared frames.
        halves: the method compares two halves of the movies.
    """

    dataset: Dataset
    settings: DataSettings
    images: ImageStatistics
    frames: FrameStack
    halves: bool = True

    @classmethod
    def of(cls, dataset: Dataset, settings: DataSettings, *, halves: bool = True) -> Evidence:
        """Read all images once and measure them.

        Raises:
            TemporemError: noise cannot be measured, or the CTF is not known.
        """
        dataset = dataset.formed(settings.ctf)
        frames, images = examine_frames(dataset, settings)
        return cls(dataset, settings, images, frames, halves)

    @cached_property
    def forward_model(self) -> ForwardModel:
        """Image formation."""
        return ForwardModel(self.dataset.box, self.dataset.pixel_size_angstrom)

    @cached_property
    def low_frames(self) -> tuple[Tensor, Tensor]:
        """Lowest frequencies of some frames, centred, and their CTF, each ``(M, K)``."""
        data = self.dataset
        shifts = data.poses.shifts_angstrom
        centred, ctf = low_frequencies(self.images, self.forward_model, shifts, data.ctf)
        return (-centred if self.settings.invert else centred), ctf

    @cached_property
    def movie_of_row(self) -> np.ndarray:
        """Index of the movie of every row, ``(N,)``."""
        index = np.empty(self.dataset.n_frames, dtype=int)
        for i, movie in enumerate(self.dataset.movies):
            index[movie] = i
        return index

    def name_rows(self, rows: np.ndarray, most: int = 3) -> str:
        """Name rows of ``particles.star`` and their movies, the first ones of a list."""
        names = self.dataset.particle_names
        shown = ", ".join(f"{row} ({names[row]})" for row in rows[:most])
        more = f" and {len(rows) - most} more" if len(rows) > most else ""
        return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"

    def name_movies(self, movies: np.ndarray, most: int = 3) -> str:
        """Name movies, the first ones of a list of indices."""
        names = [self.dataset.particle_names[self.dataset.movies[i][0]] for i in movies[:most]]
        more = f" and {len(movies) - most} more" if len(movies) > most else ""
        return f"movie{'s' if len(movies) > 1 else ''} {', '.join(names)}{more}"
