"""Back-projection with known states and poses, as from perfectly sorted frames.

It reads the truth, so it is no method but a bound for methods that share nothing between states.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.settings import DataSettings
from temporem.frames.source import blocks_of
from temporem.frames.streaming import FrameStack, open_frames
from temporem.physics.fourier import FourierSupport
from temporem.simulation.truth import Truth
from temporem.volumes.back_projection import back_project


class TrueStateVolumes:
    """A volume for every true state, back-projected from all of its frames in their true poses.

    Args:
        dataset: the frames.
        truth: states and poses of the frames.
        settings: how images are prepared.

    Raises:
        TemporemError: only one movie visits a state, so that there are no half sets to estimate its
            signal-to-noise ratio from.
    """

    def __init__(self, dataset: Dataset, truth: Truth, settings: DataSettings) -> None:
        stack = open_frames(dataset.with_poses(truth.poses), settings)
        support = FourierSupport(dataset.box, 3)
        movie = np.empty(dataset.n_frames, dtype=np.int64)
        for index, rows in enumerate(dataset.movies):
            movie[rows] = index
        labels, self._state = np.unique(truth.states, return_inverse=True)
        coefficients = []
        for state, label in enumerate(labels):
            rows = np.flatnonzero(self._state == state)
            movies, order = np.unique(movie[rows], return_inverse=True)
            if len(movies) < 2:
                raise TemporemError(
                    f"state {label} occurs in {len(movies)} movie",
                    expected="at least 2 movies, for half sets",
                    hint="simulate more movies, or remove the method of kind true-states",
                )
            blocks = _blocks(stack, rows, order % 2)
            volume = back_project(stack.forward_model, blocks, settings.window_radius).volume
            coefficients.append(stack.noise_scale * support.fft(volume))
        self._coefficients = torch.stack(coefficients)

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the volumes of frames ``(B,)``: complex64 ``(B, P)``."""
        return self._coefficients[torch.from_numpy(self._state[rows])]


def _blocks(
    stack: FrameStack, rows: np.ndarray, half: np.ndarray
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Images, CTF, rotations and half sets of some frames, in blocks of bounded size."""
    rotations = stack.dataset.poses.rotations.float()
    for part in blocks_of(np.arange(len(rows)), stack.n_pixels):
        images, ctf = stack.take(rows[part])
        index = torch.from_numpy(rows[part])
        yield images, ctf, rotations[index], torch.from_numpy(half[part])
