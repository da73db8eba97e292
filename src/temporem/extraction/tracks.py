"""Tracks: the places of one particle in the frames of a movie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Track:
    """One particle.

    Attributes:
        name: unique within the movie.
        frames: index of each frame, from 0, rising, ``(n,)``.
        places: x and y in the frame, pixels from 0, ``(n, 2)``.
        strength: height of the detection, standard deviations; NaN between two, ``(n,)``.
    """

    name: str
    frames: np.ndarray
    places: np.ndarray
    strength: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def found(self) -> np.ndarray:
        """The particle was detected in the frame, not only before and after it; bool ``(n,)``."""
        return ~np.isnan(self.strength)

    @property
    def quality(self) -> float:
        """Mean strength of all frames, where those without a detection count as 0."""
        return float(np.nan_to_num(self.strength).mean())

    def at(self, chosen: np.ndarray) -> Track:
        """Some of the frames: bool ``(n,)``, or their positions."""
        return replace(
            self,
            frames=self.frames[chosen],
            places=self.places[chosen],
            strength=self.strength[chosen],
        )
