"""The pixels that the rows of ``particles.star`` name, read when asked for and checked."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.limits import LARGEST_PIXEL
from temporem.io.mrc import Stack, open_stack
from temporem.io.star import Table

_BLOCK_BYTES = 2**25
_COLUMN = "rlnImageName"
_LONGEST_PATH = 4096  # characters; an array of names has room for the longest in every row


class ParticleImages:
    """Pixels of N rows, ``(N, D, D)`` float32, read from their stacks whenever they are asked for.

    Indexed by a row, a slice or an array of rows, as an array is; nothing is kept in memory.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self, stacks: Sequence[Stack], stack_index: np.ndarray, sections: np.ndarray
    ) -> None:
        self._stacks = stacks
        self._stack_index = stack_index
        self._sections = sections

    @property
    def shape(self) -> tuple[int, int, int]:
        _, height, width = self._stacks[0].shape
        return len(self), height, width

    def __len__(self) -> int:
        return len(self._sections)

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        wanted = np.arange(len(self))[rows]
        flat = wanted.reshape(-1)
        images = np.empty((len(flat), *self.shape[1:]), dtype=self.dtype)
        for i in np.unique(self._stack_index[flat]):
            own = self._stack_index[flat] == i
            images[own] = self._stacks[i].read(self._sections[flat[own]])
        return images.reshape(*wanted.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


def read_particle_images(folder: Path, particles: Table) -> tuple[ParticleImages, np.ndarray]:
    """Images of the N rows and the pixel size in the header of each stack.

    Returns:
        Images ``(N, D, D)``; pixel sizes ``(stacks,)`` in Å, 0 where a header has none.

    Raises:
        TemporemError: a malformed name, a stack that is missing, damaged or outside ``folder``, a
            row pointing past its stack, images that are not square, even and of one size, a pixel
            that is NaN, infinite or beyond ``LARGEST_PIXEL``.
    """
    sections, stack_index, stack_names = _split_names(particles)
    stacks = []
    for i, name in enumerate(stack_names):
        inside = Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder))
        particles.check(_COLUMN, (stack_index != i) | inside, f"a stack inside {folder}")
        stacks.append(open_stack(folder / name))
    for name, stack in zip(stack_names, stacks, strict=True):
        _check_shape(folder / name, stack, stacks[0])
    for i, stack in enumerate(stacks):
        n = stack.shape[0]
        inside_stack = (sections >= 0) & (sections < n)
        particles.check(
            _COLUMN, (stack_index != i) | inside_stack, f"an image from 1 to {n}, the stack's last"
        )
    images = ParticleImages(stacks, stack_index, sections)
    _check_pixels(images, particles)
    return images, np.array([stack.pixel_size_angstrom for stack in stacks])


def _split_names(particles: Table) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """``NUMBER@STACK`` of every row → section from 0 ``(N,)``, index ``(N,)`` into stack names."""
    parts = [name.partition("@") for name in particles.strings(_COLUMN)]
    well_formed = [
        number.isdecimal()
        and len(number) < 10
        and bool(separator and stack)
        and "\0" not in stack
        and len(stack) < _LONGEST_PATH
        for number, separator, stack in parts
    ]
    expected = "NUMBER@STACK, such as 000001@particles.mrcs"
    particles.check(_COLUMN, np.array(well_formed), expected)
    sections = np.array([int(number) - 1 for number, _, _ in parts])
    stack_names, stack_index = np.unique([stack for _, _, stack in parts], return_inverse=True)
    return sections, stack_index, stack_names.tolist()


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


def _check_pixels(images: ParticleImages, particles: Table) -> None:
    step = max(1, _BLOCK_BYTES // (4 * math.prod(images.shape[1:])))
    for start in range(0, len(images), step):
        # A NaN is not below anything.
        good = (np.abs(images[start : start + step]) <= LARGEST_PIXEL).all(axis=(1, 2))
        if not good.all():
            row = start + int(np.argmin(good))
            raise TemporemError(
                f"{particles.where} row {row} (counted from 0): the image "
                f"{particles[_COLUMN][row]} has a {_unusable(images[row])} pixel",
                expected=f"finite pixels, at most {LARGEST_PIXEL:g} of either sign",
                hint="mend the image or leave the row out",
            )


def _unusable(image: np.ndarray) -> str:
    finite = image[np.isfinite(image)]
    if len(finite) < image.size:
        return "NaN or infinite"
    return f"{finite[np.abs(finite).argmax()]:g}"
