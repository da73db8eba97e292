"""Names of images in stacks, ``NUMBER@STACK``, as RELION writes them."""

from __future__ import annotations

import numpy as np

from temporem.io.star import StarTable

IMAGE_COLUMN = "rlnImageName"
LONGEST_PATH = 4096  # characters


def split_image_names(
    particles: StarTable, column: str = IMAGE_COLUMN, *, lone_images: bool = False
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Split the name of every image.

    Args:
        particles: table of N rows.
        column: the column with the names.
        lone_images: a name without ``@`` is a file of one image.

    Returns:
        Sections ``(N,)``, from 0; index ``(N,)`` into the names of stacks; these names.

    Raises:
        TemporemError: a malformed name; the message gives its row.
    """
    names = particles.texts(column)
    numbers, separators, stacks = np.strings.partition(names, np.array("@", dtype=names.dtype))
    if lone_images:
        lone = separators != "@"
        stacks = np.where(lone, numbers, stacks)
        numbers = np.where(lone, np.array("1", dtype=names.dtype), numbers)
        separators = np.where(lone, np.array("@", dtype=names.dtype), separators)
    stack_names, stack_index = np.unique(stacks, return_inverse=True)
    usable = [0 < len(name) < LONGEST_PATH and "\0" not in name for name in stack_names]
    well_formed = (
        np.strings.isdecimal(numbers)
        & (np.strings.str_len(numbers) < 10)
        & (separators == "@")
        & np.array(usable, dtype=bool)[stack_index]
    )
    particles.check(column, well_formed, "NUMBER@STACK, such as 000001@particles.mrcs")
    return numbers.astype(np.int64) - 1, stack_index, stack_names.tolist()
