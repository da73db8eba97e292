"""Frames of a movie without gain errors and background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from temporem.io.microscope.movie import FieldMovie


@dataclass(frozen=True)
class FlatMovie:
    """A movie whose frames are corrected as they are read.

    Attributes:
        movie: as recorded.
        background: gives the background of a frame.
        gain: factor of every pixel, or None.
        sign: −1 where particles are dark, so that they become bright.
    """

    movie: FieldMovie
    background: Callable[[int], np.ndarray | float]
    gain: np.ndarray | None = None
    sign: int = 1

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.movie.n_frames

    def frame(self, index: int) -> np.ndarray:
        """Read one frame, ``(y, x)`` float32."""
        frame = self.movie.frames(index, index + 1)[0]
        if self.gain is not None:
            frame = frame * self.gain
        return self.sign * (frame - self.background(index))
