"""Batches of optimiser steps: frames, the share of every process, and pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import ProcessGroup
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.schedule import Position, Schedule
from temporem.dvae.stages import Stage
from temporem.frames.batch import Batch
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.fourier import FourierSupport
from temporem.physics.pixel_sample import PixelSample, inclusion_probabilities

_CUT, _REVERSED = 0.5, 0.5  # part of the movies that are cut, and of the clips that run backwards
_PIXEL_STREAM, _NOISE_STREAM = 2, 3  # of random numbers, besides those of the order of frames


@dataclass(frozen=True)
class StepBatch:
    """Frames of one optimiser step, and this process's part of them.

    Attributes:
        own: frames of this process; None if it has none.
        n_frames: number of frames of all processes.
        part: position of this process's frames among them.
    """

    own: Batch | None
    n_frames: int
    part: slice

    def noise(self, seed: int, step: int, device: torch.device) -> FrameNoise:
        """Make the generator of a step: a function of seed and step, equal in all processes."""
        generator = torch.Generator(device)
        sequence = np.random.SeedSequence([seed, _NOISE_STREAM, step])
        generator.manual_seed(int(sequence.generate_state(1)[0]))
        return FrameNoise(generator, self.n_frames, self.part)


def epoch_batches(
    encoded: EncodedFrames, schedule: Schedule, position: Position, *, seed: int
) -> Iterator[StepBatch]:
    """Prepare the batches of the rest of an epoch, in an order that seed and epoch determine.

    The static model takes single frames in random order, TEMPOR takes movies, whole or in
    :func:`random_clips`. Both take about ``frames_per_step`` frames in a step, so equal epochs have
    equal numbers of steps.
    """
    frames, stage = encoded.frames, schedule.stages[position.stage]
    steps = _epoch_order(schedule, stage, frames.training, seed, position.epoch)
    steps = steps[position.step_in_epoch :]
    shares = [_share(stage, movies, frames.processes) for movies in steps]
    groups = [own for own, _ in shares if own]
    with closing(encoded.batches(groups, schedule.n_pixels(position.epoch))) as batches:
        for movies, (own, part) in zip(steps, shares, strict=True):
            batch = next(batches) if own else None
            yield StepBatch(batch, sum(map(len, movies)), part)


def _epoch_order(
    schedule: Schedule, stage: Stage, movies: list[np.ndarray], seed: int, epoch: int
) -> list[list[np.ndarray]]:
    """List the rows of every step of an epoch, by movie."""
    order = np.random.default_rng([seed, epoch])
    if stage.kind == "static":
        rows = order.permutation(np.concatenate(movies))
        n = schedule.training.frames_per_step
        return [[rows[i : i + n]] for i in range(0, len(rows), n)]
    index, n = order.permutation(len(movies)), schedule.movies_per_step
    return [
        [clip for m in index[i : i + n] for clip in _clips(movies[m], order, schedule)]
        for i in range(0, len(index), n)
    ]


def _clips(movie: np.ndarray, order: np.random.Generator, schedule: Schedule) -> list[np.ndarray]:
    return random_clips(movie, order) if schedule.training.random_clips else [movie]


def random_clips(movie: np.ndarray, order: np.random.Generator) -> list[np.ndarray]:
    """Cut a movie in two at a random place, or leave it whole; play each clip either way.

    A recurrent network that always sees whole movies learns the frame number by heart where all
    movies run alike. From clips it cannot.
    """
    cut = order.integers(1, len(movie)) if len(movie) > 1 and order.random() < _CUT else len(movie)
    clips = [clip for clip in (movie[:cut], movie[cut:]) if len(clip)]
    return [clip[::-1] if order.random() < _REVERSED else clip for clip in clips]


def _share(
    stage: Stage, movies: list[np.ndarray], processes: ProcessGroup
) -> tuple[list[np.ndarray], slice]:
    """Take this process's part of a step, which may be empty, and its place among the frames."""
    if stage.kind == "static":
        (rows,) = movies
        part = processes.cut(np.ones(len(rows)))
        return ([rows[part]] if part.start < part.stop else []), part
    lengths = [len(movie) for movie in movies]
    part = processes.cut(lengths)
    first = sum(lengths[: part.start])
    return movies[part], slice(first, first + sum(lengths[part]))


class PixelDraws:
    """Importance sampling of the pixels of a step (Horvitz and Thompson 1952).

    Pixels are drawn on the CPU, as a function of seed and step, to wait for no device.

    Args:
        support: image frequencies.
        importance: importance of every frequency, ``(P,)``.
        size: number of pixels to draw.
        seed: seed of the training.
    """

    def __init__(self, support: FourierSupport, importance: Tensor, size: int, seed: int) -> None:
        self._support = support
        self._importance = importance
        self._size = size
        self._seed = seed
        self._probability = torch.zeros(0)  # for the last number of frequencies

    def __call__(self, n_pixels: int, step: int) -> PixelSample:
        """Draw pixels of the ``n_pixels`` lowest frequencies for a step."""
        if len(self._probability) != n_pixels:
            importance = self._importance[:n_pixels]
            self._probability = inclusion_probabilities(importance, self._size)
        start = np.random.default_rng([self._seed, _PIXEL_STREAM, step]).random()
        return PixelSample.drawn(self._support, self._probability, start)
