"""Back-projection with states and poses known: what frames sorted without error would give.

It reads the truth, so it is a bound for methods that do not share anything between states, and no
reconstruction.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frame_stack import open_frames
from temporem.frames.source import blocks_of
from temporem.physics.fourier import FourierSupport
from temporem.runs.config import DataConfig
from temporem.simulation.truth import Truth
from temporem.volumes.back_projection import reconstruct_homogeneous


class TrueStateVolumes:
    """A volume for every true state, back-projected from all frames in it in their true poses.

    Args:
        dataset: the frames.
        truth: of the same frames.
        config: how images are prepared.

    Raises:
        TemporemError: fewer than two movies visit a state, so that its signal-to-noise ratio
            cannot be told from half sets.
    """

    def __init__(self, dataset: Dataset, truth: Truth, config: DataConfig) -> None:
        placed = dataset.with_poses(truth.rotations, truth.shifts_angstrom)
        stack, states = open_frames(placed, config), truth.states
        model, rotations = stack.forward_model, placed.rotations.float()
        support = FourierSupport(dataset.box, 3)
        movie = np.empty(len(states), dtype=np.int64)
        for index, rows in enumerate(dataset.movies):
            movie[rows] = index
        self._labels, self._state = np.unique(states, return_inverse=True)
        coefficients = []
        for state, label in enumerate(self._labels):
            rows = np.flatnonzero(self._state == state)
            visits, order = np.unique(movie[rows], return_inverse=True)
            if len(visits) < 2:
                raise TemporemError(
                    f"state {label} is in {len(visits)} movie",
                    expected="at least 2, for half sets",
                    hint="simulate more movies, or leave the bound out",
                )

            def blocks(
                rows: np.ndarray = rows, half: np.ndarray = order % 2
            ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
                for part in blocks_of(np.arange(len(rows)), stack.n_pixels):
                    images, ctf = stack.take(rows[part])
                    index = torch.from_numpy(rows[part])
                    yield images, ctf, rotations[index], torch.from_numpy(half[part])

            volume = reconstruct_homogeneous(model, blocks(), config.window_radius).volume
            coefficients.append(stack.noise_scale * support.fft(volume))
        self._coefficients = torch.stack(coefficients)

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Coefficients of the volumes of frames ``(B,)``: complex64 ``(B, P)``."""
        return self._coefficients[torch.from_numpy(self._state[rows])]
