"""Tracks: the places of one particle in the frames of a movie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

WEAK_EVIDENCE = 35.0
"""Sum of the evidence below which a track may be none.

In simulated fields of seeds 100 and 101 at SNR 1 to 0.015, three of 29 tracks below it showed no
particle, and none of 119 above it; in movies of noise alone, all were below 10.
"""


@dataclass(frozen=True, eq=False)
class Track:
    """One particle.

    Attributes:
        name: unique within the movie.
        frames: index of each frame, from 0, rising, ``(n,)``.
        places: x and y in the frame, pixels from 0, ``(n, 2)``.
        strength: height of the detection, standard deviations; NaN between two, ``(n,)``.
        evidence: logarithm of the likelihood ratio that the frame shows the particle, ``(n,)``.
        error_pixels: standard deviation of the place in x or y, ``(n,)``.
        scale: diameter that fits best, a fraction of the given one.
    """

    name: str
    frames: np.ndarray
    places: np.ndarray
    strength: np.ndarray
    evidence: np.ndarray
    error_pixels: np.ndarray
    scale: float = 1.0

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def is_weak(self) -> bool:
        """Tell if its frames, all together, say little for a particle."""
        return bool(self.evidence.sum() < WEAK_EVIDENCE)

    @property
    def quality(self) -> float:
        """Mean evidence of its frames."""
        return float(self.evidence.mean())

    def at(self, chosen: np.ndarray) -> Track:
        """Some of the frames: bool ``(n,)``, or their positions."""
        return replace(
            self,
            frames=self.frames[chosen],
            places=self.places[chosen],
            strength=self.strength[chosen],
            evidence=self.evidence[chosen],
            error_pixels=self.error_pixels[chosen],
        )


def track_of_places(name: str, frames: np.ndarray, places: np.ndarray) -> Track:
    """Make a track of known places."""
    unknown = np.full(len(frames), np.nan)
    return Track(name, frames, places, unknown, unknown, unknown)
