"""Frames handed out as blocks of whole movies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.frames.source import FramesInMemory, FrameSource, groups_of, one_ahead
from temporem.physics.forward import ForwardModel

_SAMPLES_PER_BLOCK = 2**15  # Fourier pixels: what is made of them stays in a processor's cache
_SAMPLES_GPU = 2**18  # enough to keep it busy; half a GiB of nine channels


@dataclass(frozen=True)
class MovieBlock:
    """Whole movies, F frames, one movie after the other in order of time.

    Attributes:
        rows: which frames these are, ``(F,)``, on the CPU, as lengths and intervals.
        images: centred Fourier images, complex ``(F, P)``.
        contrast: CTF ``(F, P)``.
        rotations: molecule to camera, ``(F, 3, 3)``.
        lengths: frames of each movie, ``(M,)``.
        interval_index: which of :attr:`MovieFrames.intervals` precedes a frame, ``(F,)``; without
            meaning at the first frame of a movie.
    """

    rows: Tensor
    images: Tensor
    ctf: Tensor
    rotations: Tensor
    lengths: Tensor
    interval_index: Tensor


@dataclass(frozen=True)
class MovieFrames:
    """N frames of some movies, with unit noise, and the times between them.

    Attributes:
        forward_model: image formation.
        source: images and CTF.
        rotations: molecule to camera, float32 ``(N, 3, 3)``.
        intervals: all G different times between neighbouring frames of a movie, float64 ``(G,)``,
            on the CPU.
        interval_index: which of them precedes a frame, ``(N,)``, on the CPU.
        on_pass: called whenever a pass over frames begins, to show that there is progress.
        world: the processes that share every pass.
        mine: whether a frame is of this process's share, bool ``(N,)``; None: all are.
    """

    forward_model: ForwardModel
    source: FrameSource
    rotations: Tensor
    intervals: Tensor
    interval_index: Tensor
    on_pass: Callable[[], None] = lambda: None
    processes: ProcessGroup = SINGLE_PROCESS
    mine: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.source)

    @property
    def device(self) -> torch.device:
        return self.source.device

    def shared(self, movies: list[np.ndarray], processes: ProcessGroup) -> MovieFrames:
        """The same, each process going through its share of the movies in all passes.

        Shares are the same whatever movies a pass is over, so that a process needs no others. They
        are neighbours in the list, so that every n-th movie is shared as evenly as all.
        """
        mine = np.zeros(len(self), dtype=bool)
        mine[np.concatenate([*processes.share(movies), np.zeros(0, dtype=int)])] = True
        return replace(self, processes=processes, mine=mine)

    def blocks(self, movies: list[np.ndarray], n_pixels: int | None = None) -> Iterator[MovieBlock]:
        """This process's share of some movies (rows in order of time), in bounded blocks.

        A movie is never cut: a block holds at least one.

        Args:
            movies: which.
            n_pixels: only so many image frequencies, the lowest ones.
        """
        self.on_pass()
        yield from one_ahead(
            lambda some: self._block(some, n_pixels),
            self._groups(movies, n_pixels or self.source.n_pixels),
            in_thread=not self.source.in_memory,
        )

    def low_pass(self, movies: list[np.ndarray], n_pixels: int) -> MovieFrames:
        """Some movies with only their lowest frequencies, in memory, to be passed many times.

        The other frames are zero.
        """
        images = torch.zeros(len(self), n_pixels, dtype=torch.complex64, device=self.device)
        ctf = torch.zeros(len(self), n_pixels, device=self.device)
        for block in self.blocks(movies, n_pixels):
            rows = block.rows.to(self.device)
            images[rows], ctf[rows] = block.images, block.ctf
        return replace(self, source=FramesInMemory(images, ctf))

    def _groups(self, movies: list[np.ndarray], n_pixels: int) -> Iterator[list[np.ndarray]]:
        samples = _SAMPLES_PER_BLOCK if self.device.type == "cpu" else _SAMPLES_GPU
        mine = self.mine
        wanted = (movie for movie in movies if mine is None or mine[movie[0]])
        return groups_of(wanted, max(1, samples // n_pixels))

    def _block(self, movies: list[np.ndarray], n_pixels: int | None) -> MovieBlock:
        rows = np.concatenate(movies)
        images, ctf = self.source.take(rows, n_pixels)
        index = torch.from_numpy(rows)
        return MovieBlock(
            rows=index,
            images=images,
            ctf=ctf,
            rotations=self.rotations[index.to(self.device)],
            lengths=torch.tensor([len(movie) for movie in movies]),
            interval_index=self.interval_index[index],
        )
