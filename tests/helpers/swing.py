"""A body with an arm that swings, as volumes in memory: what evaluations are tested with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.evaluation.case import Known
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.frames import EvaluatedFrames
from temporem.evaluation.one_pass import measure
from temporem.evaluation.resampling import BootstrapSettings
from temporem.evaluation.settings import EvaluationSettings
from temporem.physics.fourier import FourierSupport
from temporem.volumes.source import VolumeSource

BOX, PIXEL = 20, 3.0
MOVIES, LENGTH = 6, 5
N = MOVIES * LENGTH
SUPPORT = FourierSupport(BOX, 3)
SETTINGS = EvaluationSettings(bootstrap=BootstrapSettings(samples=200))
ANGLES = np.tile(np.linspace(-40, 40, LENGTH), MOVIES)


def blob(centre: tuple[float, float, float], sigma: float = 1.4, box: int = BOX) -> Tensor:
    """A Gaussian at ``centre`` (x, y, z) from the box centre, voxels: ``(D, D, D)``."""
    axis = torch.arange(box) - box // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    r2 = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    return (-r2 / (2 * sigma**2)).exp()


class Swing:
    """A body with an arm that swings about z, with noise of its own in every frame."""

    def __init__(self, noise: float = 0.0, seed: int = 0, swing: float = 1.0) -> None:
        self.noise, self.seed, self.swing = noise, seed, swing
        self.asked: list[np.ndarray] = []

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of rows."""
        self.asked.append(np.asarray(rows))
        return torch.stack([self.volume(row) for row in rows])

    def volume(self, row: int) -> Tensor:
        """Fourier coefficients of one row."""
        angle = np.deg2rad(self.swing * ANGLES[row])
        volume = 2 * blob((-3, 0, 0)) + blob((5 * np.cos(angle), 5 * np.sin(angle), 0))
        generator = torch.Generator().manual_seed(1000 * self.seed + int(row))
        return SUPPORT.fft(volume + self.noise * torch.randn(volume.shape, generator=generator))


def all_frames(held_out: tuple[int, ...] = ()) -> EvaluatedFrames:
    """The frames of all movies, some of them held out."""
    movie = np.repeat(np.arange(MOVIES), LENGTH)
    return frames_of(movie, np.isin(movie, held_out), np.tile(np.arange(1, LENGTH + 1), MOVIES))


def frames_of(
    movie: Any, held_out: Any = None, frame_numbers: np.ndarray | None = None
) -> EvaluatedFrames:
    """Frames in rows 0, 1, … by the index of their movie."""
    movie = np.asarray(movie)
    n = len(movie)
    return EvaluatedFrames(
        rows=np.arange(n),
        movie=movie,
        particle_names=np.array([f"movie_{m}" for m in movie]),
        frame_numbers=np.arange(1, n + 1) if frame_numbers is None else frame_numbers,
        held_out=np.zeros(n, bool) if held_out is None else np.asarray(held_out),
    )


def evaluated(
    source: VolumeSource,
    truth: VolumeSource | None = None,
    frames: EvaluatedFrames | None = None,
    **options: Any,
) -> Evaluation:
    """Measure volumes against the swinging arm; latents, states and the like by name."""
    known = {name: options.pop(name) for name in Known.__dataclass_fields__ if name in options}
    options = {"box": BOX, "pixel_size_angstrom": PIXEL, "settings": SETTINGS} | options
    return measure(
        source, truth or Swing(), frames or all_frames(), known=Known(**known), **options
    )


def good_and_poor() -> tuple[Evaluation, Evaluation]:
    """Two evaluations of the same frames, the first of less noise and with latents and states."""
    frames = all_frames(held_out=(1, 4))
    good = evaluated(
        Swing(noise=0.05, seed=1),
        frames=frames,
        latents=np.deg2rad(ANGLES)[:, None],
        parameters=ANGLES[:, None],
        parameter_names=["angle_degrees"],
        states=np.tile(np.arange(LENGTH), MOVIES),
    )
    return good, evaluated(Swing(noise=0.15, seed=2), frames=frames)
