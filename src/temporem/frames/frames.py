"""Frames of a dataset in Fourier space, in batches of whole movies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.frames.batch import Batch
from temporem.frames.corrections import Corrections, FrameCorrection
from temporem.frames.dataset import Dataset
from temporem.frames.intervals import frame_intervals
from temporem.frames.mean_comparison import MeanComparison, compare_with_mean
from temporem.frames.settings import DataSettings
from temporem.frames.source import (
    FramesInMemory,
    FrameSource,
    LowestFrequencies,
    blocks_of,
    groups_of,
    loaded,
    one_ahead,
)
from temporem.frames.statistics import FrameStatistics, measure_frames
from temporem.frames.streaming import open_frames
from temporem.physics.ctf import CTFParameters
from temporem.physics.forward import ForwardModel
from temporem.physics.pixel_sample import PixelSample

_SAMPLES_PER_BLOCK = 2**15  # Fourier pixels: what is made of them stays in a processor's cache
_SAMPLES_GPU = 2**18  # enough to keep a GPU busy; half a GiB of nine channels
_BYTES_PER_PIXEL = 12  # a complex image and a real CTF


@dataclass(frozen=True)
class Frames:
    """N frames in Fourier space, centred, windowed and scaled to unit noise.

    Attributes:
        forward_model: image formation at this box and pixel size.
        source: images and CTF of the frames, in memory or prepared when they are asked for.
        rotations: molecule to camera, float32 ``(N, 3, 3)``.
        movies: rows of every movie, in order of time.
        training: rows of the movies that an algorithm may use.
        intervals: all G different times between neighbouring frames, median 1, float64 ``(G,)``,
            on the CPU.
        interval_index: index of the interval that precedes a frame, ``(N,)``, on the CPU.
        statistics: noise, spectra and mean volume.
        corrections: what was done to frames of uneven background, noise and intensity.
        processes: processes that share every pass over the frames.
        on_samples: called with the number of Fourier pixels of every block that was passed.
        block_samples: Fourier pixels in a block; None for what suits the device.
    """

    forward_model: ForwardModel
    source: FrameSource
    rotations: Tensor
    movies: list[np.ndarray]
    training: list[np.ndarray]
    intervals: Tensor
    interval_index: Tensor
    statistics: FrameStatistics
    corrections: Corrections
    processes: ProcessGroup = SINGLE_PROCESS
    on_samples: Callable[[int], None] = lambda n: None
    block_samples: int | None = None

    def __len__(self) -> int:
        return len(self.source)

    @property
    def device(self) -> torch.device:
        return self.source.device

    def to(self, device: torch.device) -> Frames:
        """Take the frames to a device."""
        return replace(self, source=self.source.to(device), rotations=self.rotations.to(device))

    @cached_property
    def times(self) -> Tensor:
        """Time of each frame since the first of its movie, median interval 1, ``(N,)``."""
        times = torch.zeros(len(self))
        for movie in map(torch.from_numpy, self.movies):
            times[movie[1:]] = self.intervals[self.interval_index[movie[1:]]].cumsum(0).float()
        return times

    @cached_property
    def held_out(self) -> list[np.ndarray]:
        """Rows of the movies that are not for training."""
        training = {int(movie[0]) for movie in self.training}
        return [movie for movie in self.movies if int(movie[0]) not in training]

    def batch(self, movies: list[np.ndarray], n_pixels: int | None = None) -> Batch:
        """Frames of some movies, or of single rows given as movies of one frame.

        Args:
            movies: rows in order of time.
            n_pixels: number of image frequencies, the lowest ones; all when None.
        """
        rows = np.concatenate(movies)
        images, ctf = self.source.take(rows, n_pixels)
        index = torch.from_numpy(rows)
        return Batch(
            rows=index,
            images=images,
            ctf=ctf,
            rotations=self.rotations[index.to(self.device, non_blocking=True)],
            lengths=torch.tensor([len(movie) for movie in movies]),
            times=self.times[index],
            interval_index=self.interval_index[index],
            pixels=PixelSample.lowest(self.forward_model.support, images.shape[1]),
        )

    def batches(
        self, groups: Iterable[list[np.ndarray]], n_pixels: int | None = None
    ) -> Iterator[Batch]:
        """Yield a batch of every group of movies, prepared while the previous one is in use."""
        return one_ahead(
            lambda movies: self.batch(movies, n_pixels),
            groups,
            in_thread=not self.source.in_memory,
        )

    def blocks(self, movies: list[np.ndarray], n_pixels: int | None = None) -> Iterator[Batch]:
        """This process's share of some movies, in batches of bounded size.

        A movie is never cut: a block holds at least one.

        Args:
            movies: rows of each, in order of time.
            n_pixels: number of image frequencies, the lowest ones; all when None.
        """
        groups = self._groups(movies, n_pixels or self.source.n_pixels)
        for batch in self.batches(groups, n_pixels):
            yield batch
            self.on_samples(batch.images.numel())

    def low_pass(self, movies: list[np.ndarray], n_pixels: int) -> Frames:
        """Keep the lowest frequencies of some movies in memory, for many passes.

        Other frames are zero.
        """
        images = torch.zeros(len(self), n_pixels, dtype=torch.complex64, device=self.device)
        ctf = torch.zeros(len(self), n_pixels, device=self.device)
        for block in self.blocks(movies, n_pixels):
            rows = block.rows.to(self.device)
            images[rows], ctf[rows] = block.images, block.ctf
        return replace(self, source=FramesInMemory(images, ctf))

    def in_order_of(self, dataset: Dataset) -> Frames:
        """Take the frames in the order, and at the times, that another view of the dataset gives.

        Args:
            dataset: the same movies with frames in other places, as :meth:`Dataset.shuffled`.
        """
        by_first = {movie.min(): movie for movie in dataset.movies}
        intervals, interval_index = frame_intervals(dataset)
        return replace(
            self,
            movies=dataset.movies,
            training=[by_first[movie.min()] for movie in self.training],
            intervals=intervals,
            interval_index=interval_index,
        )

    def cropped(self, box: int, memory_gb: float) -> Frames:
        """The frames in a box of fewer pixels over the same field of view.

        Images keep the frequencies below its Nyquist, with the noise that they have. Those that
        fit into ``memory_gb`` GiB are kept there; boxes that are not larger are left alone.
        """
        before = self.forward_model
        if box >= before.box:
            return self
        model = ForwardModel(box, before.pixel_size_angstrom * before.box / box)
        low = LowestFrequencies(self.source, len(model.support))
        fits = prepared_bytes(model, len(self)) <= memory_gb * 2**30
        return replace(
            self,
            forward_model=model,
            source=loaded(low) if fits and not low.in_memory else low,
            statistics=self.statistics.cropped(model),
        )

    @cached_property
    def _mine(self) -> np.ndarray:
        """Frames of this process's share, bool ``(N,)``.

        Shares do not depend on the movies of a pass, so a process needs no other frames. They are
        neighbours in the list, so every n-th movie is shared as evenly as all.
        """
        mine = np.zeros(len(self), dtype=bool)
        mine[np.concatenate([*self.processes.share(self.movies), np.zeros(0, dtype=int)])] = True
        return mine

    def _groups(self, movies: list[np.ndarray], n_pixels: int) -> Iterator[list[np.ndarray]]:
        fitting = _SAMPLES_PER_BLOCK if self.device.type == "cpu" else _SAMPLES_GPU
        samples = self.block_samples or fitting
        wanted = (movie for movie in movies if self._mine[movie[0]])
        return groups_of(wanted, max(1, samples // n_pixels))


def prepare_frames(
    dataset: Dataset,
    settings: DataSettings,
    training: list[np.ndarray],
    device: torch.device,
    *,
    posed: bool = True,
    processes: ProcessGroup = SINGLE_PROCESS,
    block_samples: int | None = None,
) -> Frames:
    """Centre, window, transform and scale frames of a dataset; measure their statistics.

    Frames of up to ``settings.memory_gb`` are prepared once and kept on the device. More are
    prepared from the dataset's pixels whenever they are asked for; nothing else depends on this.

    Args:
        dataset: pixels, poses and CTF.
        settings: window, sign and memory.
        training: rows of the movies that algorithms may use.
        device: where frames are wanted.
        posed: use the dataset's rotations; without, the mean volume is zero.
        processes: processes that share passes over the frames.
        block_samples: Fourier pixels handled at a time; None for what suits memory and device.

    Raises:
        TemporemError: the images are constant outside the particle, so noise cannot be measured.
    """
    stack = open_frames(dataset, settings, block_samples)
    model = stack.forward_model
    in_memory = prepared_bytes(model, len(stack)) <= settings.memory_gb * 2**30
    source: FrameSource = loaded(stack, block_samples) if in_memory else stack
    rotations = dataset.poses.rotations.float()

    def measure(source: FrameSource) -> FrameStatistics:
        return measure_frames(
            model,
            source,
            rotations if posed else None,
            training,
            independent_share=stack.independent_share,
            noise_scale=stack.noise_scale,
            window_radius=settings.window_radius,
            block_samples=block_samples,
        )

    def compare(source: FrameSource, statistics: FrameStatistics) -> MeanComparison:
        return compare_with_mean(
            model,
            source,
            rotations if posed else None,
            training,
            statistics.mean_volume,
            block_samples,
        )

    def refocus(source: FrameSource, ctf: CTFParameters) -> FrameSource:
        if isinstance(source, FramesInMemory):
            parts = blocks_of(np.arange(len(source)), source.n_pixels, block_samples)
            return replace(source, ctf=torch.cat([model.ctf(ctf[rows]) for rows in parts]))
        return replace(stack, dataset=replace(stack.dataset, ctf=ctf))

    correction = FrameCorrection(
        measure,
        compare,
        refocus,
        stack.background,
        stack.broken,
        stack.correlation,
        stack.dataset.ctf,
        rotations if posed else None,
        dataset.movies,
        training,
        dataset.noise_power,
    )
    correct = correction.of if settings.corrections else correction.without
    source, statistics, corrections = correct(source)
    intervals, interval_index = frame_intervals(dataset)
    return Frames(
        forward_model=model,
        source=source.to(device),
        rotations=rotations.to(device),
        movies=dataset.movies,
        training=training,
        intervals=intervals,
        interval_index=interval_index,
        statistics=statistics,
        corrections=corrections,
        processes=processes,
        block_samples=block_samples,
    )


def prepared_bytes(model: ForwardModel, n_frames: int) -> int:
    """Memory that images and CTF of frames take."""
    return n_frames * _BYTES_PER_PIXEL * len(model.support)
