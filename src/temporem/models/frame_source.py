"""Where models get images and CTF of frames from, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class FrameSource(Protocol):
    """N frames in Fourier space, centred, with unit noise."""

    @property
    def device(self) -> torch.device: ...

    @property
    def in_memory(self) -> bool:
        """Whether frames are at hand; otherwise they are worth preparing ahead of their use."""
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


@dataclass(frozen=True)
class FramesInMemory:
    """Frames that are all at hand.

    Attributes:
        images: complex64 ``(N, P)``.
        contrast: CTF, float32 ``(N, P)``.
    """

    images: Tensor
    contrast: Tensor

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
        index = torch.from_numpy(rows).to(self.device)
        return self.images[:, :n_pixels][index], self.contrast[:, :n_pixels][index]

    def to(self, device: torch.device) -> FramesInMemory:
        """The same on a device."""
        return FramesInMemory(self.images.to(device), self.contrast.to(device))


def one_ahead(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, in_thread: bool = True
) -> Iterator[_Result]:
    """``map(function, items)``; while a result is used, a thread computes the one after it.

    Order is kept, at most two results exist at a time, an exception comes when its result is due,
    and none is left running when the iterator is closed. ``in_thread=False`` computes every
    result when it is asked for.
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
