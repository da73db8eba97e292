"""Images that the rows of ``particles.star`` name: checked once, then read on request."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.image_names import IMAGE_COLUMN, split_image_names
from temporem.io.limits import LARGEST_PIXEL
from temporem.io.mrc import Stack, open_stack
from temporem.io.star import StarTable

_BLOCK_BYTES = 2**25


class ParticleImages:
    """Images of N rows, ``(N, D, D)`` float32, read from their stacks when they are indexed.

    Index them like an array, by a row, a slice or an array of rows. Nothing is kept in memory.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self, stacks: Sequence[Stack], stack_index: np.ndarray, sections: np.ndarray
    ) -> None:
        self.stacks = stacks
        self._stack_index = stack_index
        self._sections = sections

    @property
    def shape(self) -> tuple[int, int, int]:
        _, height, width = self.stacks[0].shape
        return len(self), height, width

    def __len__(self) -> int:
        return len(self._sections)

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        wanted = np.arange(len(self))[rows]
        flat = wanted.reshape(-1)
        images = np.empty((len(flat), *self.shape[1:]), dtype=self.dtype)
        for i in np.unique(self._stack_index[flat]):
            own = self._stack_index[flat] == i
            images[own] = self.stacks[i].read(self._sections[flat[own]])
        return images.reshape(*wanted.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


def read_particle_images(folder: Path, particles: StarTable) -> ParticleImages:
    """Find and check the images ``(N, D, D)`` of the rows.

    Raises:
        TemporemError: a malformed name, a stack that is missing, damaged or outside ``folder``, a
            row pointing past its stack, images that are not square, even and of one size, a pixel
            that is NaN, infinite or beyond ``LARGEST_PIXEL``.
    """
    sections, stack_index, stack_names = split_image_names(particles)
    real = os.path.realpath(folder)
    inside = [Path(os.path.realpath(folder / name)).is_relative_to(real) for name in stack_names]
    particles.check(IMAGE_COLUMN, np.array(inside)[stack_index], f"a stack inside {folder}")
    stacks = [open_stack(folder / name) for name in stack_names]
    for name, stack in zip(stack_names, stacks, strict=True):
        _check_shape(folder / name, stack, stacks[0])
    n_images = np.array([stack.shape[0] for stack in stacks])[stack_index]
    exists = (sections >= 0) & (sections < n_images)
    last = n_images[np.argmin(exists)]
    particles.check(IMAGE_COLUMN, exists, f"an image from 1 to {last}, the stack's last")
    images = ParticleImages(stacks, stack_index, sections)
    _check_pixels(images, particles)
    return images


def _check_shape(path: Path, stack: Stack, first: Stack) -> None:
    _, height, width = stack.shape
    if height != width or width % 2:
        raise TemporemError(
            f"{path} has images of {width} x {height} pixels",
            expected="square images of an even number of pixels",
            hint="crop or pad them",
        )
    if stack.shape[1:] != first.shape[1:]:
        raise TemporemError(
            f"{path} has images of {width} pixels, another stack of {first.shape[-1]}",
            expected="one image size in a dataset",
            hint="crop or rescale them, or split the dataset",
        )


def _check_pixels(images: ParticleImages, particles: StarTable) -> None:
    step = max(1, _BLOCK_BYTES // (4 * math.prod(images.shape[1:])))
    for start in range(0, len(images), step):
        # Comparisons with NaN are false.
        good = (np.abs(images[start : start + step]) <= LARGEST_PIXEL).all(axis=(1, 2))
        if not good.all():
            row = start + int(np.argmin(good))
            raise TemporemError(
                f"{particles.where} row {row} (counted from 0): the image "
                f"{particles[IMAGE_COLUMN][row]} has a {_unusable(images[row])} pixel",
                expected=f"finite pixels, at most {LARGEST_PIXEL:g} of either sign",
                hint="mend the image or leave the row out",
            )


def _unusable(image: np.ndarray) -> str:
    finite = image[np.isfinite(image)]
    if len(finite) < image.size:
        return "NaN or infinite"
    return f"{finite[np.abs(finite).argmax()]:g}"
