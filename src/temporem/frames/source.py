"""Sources of images and CTF of frames, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from temporem.physics.forward import ForwardModel

_SAMPLES_AT_A_TIME = 2**18  # Fourier pixels; bounds memory

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class FrameSource(Protocol):
    """N frames in Fourier space, centred, with unit noise."""

    @property
    def device(self) -> torch.device: ...

    @property
    def in_memory(self) -> bool:
        """True if frames are in memory; others are worth preparing ahead of their use."""
        ...

    @property
    def n_pixels(self) -> int:
        """Image frequencies P of a frame, the lowest ones."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray, n_pixels: int | None = None) -> tuple[Tensor, Tensor]:
        """Images, complex64, and CTF, float32, of F rows, each ``(F, P)`` on the device.

        Args:
            rows: indices ``(F,)``.
            n_pixels: only so many image frequencies, the lowest ones.
        """
        ...

    def to(self, device: torch.device) -> FrameSource:
        """The frames, prepared or kept on a device."""
        ...


@dataclass(frozen=True)
class FramesInMemory:
    """Frames that are all in memory.

    Attributes:
        images: complex64 ``(N, P)``.
        ctf: float32 ``(N, P)``.
    """

    images: Tensor
    ctf: Tensor

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def in_memory(self) -> bool:
        return True

    @property
    def n_pixels(self) -> int:
        return self.images.shape[1]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray, n_pixels: int | None = None) -> tuple[Tensor, Tensor]:
        """See :class:`FrameSource`."""
        index = torch.from_numpy(rows).to(self.device, non_blocking=True)
        return self.images[:, :n_pixels][index], self.ctf[:, :n_pixels][index]

    def to(self, device: torch.device) -> FramesInMemory:
        """Copy the frames to a device."""
        return FramesInMemory(self.images.to(device), self.ctf.to(device))


def one_ahead(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, in_thread: bool = True
) -> Iterator[_Result]:
    """Map a function over items; while a result is used, a thread computes the next one.

    Order is kept, and at most two results exist at a time. An exception is raised when its result
    is due. Closing the iterator ends the thread. ``in_thread=False`` computes every result when it
    is asked for.
    """
    if not in_thread:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for item in items:
            following = thread.submit(function, item)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def blocks_of(rows: np.ndarray, n_pixels: int, samples: int | None = None) -> list[np.ndarray]:
    """Cut rows, in order, into blocks of a bounded number of Fourier pixels.

    Args:
        rows: indices of frames.
        n_pixels: Fourier pixels of a frame.
        samples: Fourier pixels of a block; None for a number that bounds memory.
    """
    step = max(1, (samples or _SAMPLES_AT_A_TIME) // n_pixels)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def groups_of(movies: Iterable[np.ndarray], n_frames: int) -> Iterator[list[np.ndarray]]:
    """Group whole movies, in order, into at most ``n_frames`` frames; a longer movie is alone."""
    group: list[np.ndarray] = []
    size = 0
    for movie in movies:
        if group and size + len(movie) > n_frames:
            yield group
            group, size = [], 0
        group.append(movie)
        size += len(movie)
    if group:
        yield group


def loaded(source: FrameSource, block_samples: int | None = None) -> FramesInMemory:
    """Take all frames of a source into memory, a block of Fourier pixels at a time."""
    n, p = len(source), source.n_pixels
    images = torch.empty(n, p, dtype=torch.complex64, device=source.device)
    ctf = torch.empty(n, p, device=source.device)
    parts = blocks_of(np.arange(n), p, block_samples)
    taken = one_ahead(source.take, parts, in_thread=not source.in_memory)
    for rows, (some_images, some_ctf) in zip(parts, taken, strict=True):
        images[rows], ctf[rows] = some_images, some_ctf
    return FramesInMemory(images, ctf)


@dataclass(frozen=True)
class _Derived:
    """Frames of another source, changed as they are read.

    Attributes:
        source: the frames.
    """

    source: FrameSource

    @property
    def device(self) -> torch.device:
        return self.source.device

    @property
    def in_memory(self) -> bool:
        return self.source.in_memory

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device) -> Self:
        """See :class:`FrameSource`."""
        return replace(self, source=self.source.to(device))


@dataclass(frozen=True)
class LowestFrequencies(_Derived):
    """Frames with only their P lowest image frequencies.

    Attributes:
        n_pixels: number P of image frequencies.
    """

    n_pixels: int

    def take(self, rows: np.ndarray, n_pixels: int | None = None) -> tuple[Tensor, Tensor]:
        """See :class:`FrameSource`."""
        return self.source.take(rows, min(n_pixels or self.n_pixels, self.n_pixels))


@dataclass(frozen=True)
class Recentred(_Derived):
    """Frames shifted back by displacements that were found later.

    Attributes:
        model: image formation.
        shifts_angstrom: displacement (x, y) of the particles in the frames, ``(N, 2)``.
    """

    model: ForwardModel
    shifts_angstrom: Tensor

    @property
    def n_pixels(self) -> int:
        return self.source.n_pixels

    def take(self, rows: np.ndarray, n_pixels: int | None = None) -> tuple[Tensor, Tensor]:
        """See :class:`FrameSource`."""
        images, ctf = self.source.take(rows, n_pixels)
        phase = self.model.shift_phase(self.shifts_angstrom[rows], slice(n_pixels))
        return images * phase.conj(), ctf


@dataclass(frozen=True)
class Weighted(_Derived):
    """Frames of different intensity, some of which tell nothing, with noise that is not white.

    Attributes:
        intensity: factor of every frame's CTF, float32 ``(N,)``. Where it is 0 the image is 0 too,
            so that the frame has the same likelihood for all volumes.
        whitening: factor of every frequency of image and CTF, which makes noise white, ``(P,)``.
    """

    intensity: Tensor
    whitening: Tensor

    @property
    def n_pixels(self) -> int:
        return self.source.n_pixels

    def take(self, rows: np.ndarray, n_pixels: int | None = None) -> tuple[Tensor, Tensor]:
        """See :class:`FrameSource`."""
        images, ctf = self.source.take(rows, n_pixels)
        intensity = self.intensity[rows].to(ctf.device, non_blocking=True)[:, None]
        whitening = self.whitening[: images.shape[1]].to(ctf.device, non_blocking=True)
        return images * (whitening * (intensity > 0)), ctf * (whitening * intensity)
