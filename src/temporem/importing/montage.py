"""A picture of the first frames of some movies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

_MOVIES, _FRAMES = 6, 8
_TILE = 96  # pixels of the picture for a frame
_GAP = 2
_LABEL = 14  # height of a line of text
_SMOOTHING = 1 / 40  # of the box: so much blur shows a molecule in noise
_RANGE = 3.0  # standard deviations from black to grey, and to white


class Montage:
    """Keeps some frames as they pass by, and draws them.

    Args:
        movies: rows of each movie in order of its frames.
        names: movie of every row.
    """

    def __init__(self, movies: Sequence[np.ndarray], names: np.ndarray) -> None:
        chosen = np.unique(np.linspace(0, len(movies) - 1, _MOVIES).round().astype(int))
        self._rows = [movies[i][:_FRAMES] for i in chosen]
        self._names = [str(names[rows[0]]) for rows in self._rows]
        self._wanted = {int(row) for rows in self._rows for row in rows}
        self._kept: dict[int, np.ndarray] = {}
        self._movie = {int(row): line for line, i in enumerate(chosen) for row in movies[i]}
        self._sums: dict[int, np.ndarray] = {}

    def take(self, first: int, block: np.ndarray) -> None:
        """Keep what is wanted of a block whose first image has the row ``first``."""
        for row in self._movie.keys() & set(range(first, first + len(block))):
            image, line = block[row - first], self._movie[row]
            self._sums[line] = self._sums.get(line, 0) + image.astype(np.float64)
            if row in self._wanted:
                self._kept[row] = image.copy()

    def save(self, path: Path) -> None:
        """Draw frames of a movie side by side under its name, and the mean of all its frames."""
        from PIL import Image, ImageDraw

        last = max(map(len, self._rows)) * (_TILE + _GAP) + 4 * _GAP
        width = last + _TILE
        height = len(self._rows) * (_TILE + _LABEL + _GAP)
        picture = Image.new("L", (max(width, 3 * _TILE), height), 255)
        draw = ImageDraw.Draw(picture)
        for line, (rows, name) in enumerate(zip(self._rows, self._names, strict=True)):
            y = line * (_TILE + _LABEL + _GAP)
            draw.text((2, y), name.encode("ascii", "replace").decode(), fill=0)
            draw.text((last, y), "mean", fill=0)
            picture.paste(Image.fromarray(_grey(self._sums[line])), (last, y + _LABEL))
            for column, row in enumerate(rows):
                tile = Image.fromarray(_grey(self._kept[int(row)]))
                picture.paste(tile, (column * (_TILE + _GAP), y + _LABEL))
        picture.save(path)


def _grey(image: np.ndarray) -> np.ndarray:
    """An image in grey values, a little smoothed, ``(_TILE, _TILE)`` uint8."""
    smooth = gaussian_filter(image.astype(np.float64), len(image) * _SMOOTHING)
    smooth = zoom(smooth, _TILE / len(image), order=1, grid_mode=True, mode="nearest")
    smooth = smooth[:_TILE, :_TILE] - np.median(smooth)
    spread = max(float(smooth.std()), 1e-12)
    out = np.zeros((_TILE, _TILE), dtype=np.uint8)
    grey = np.clip(127.5 * (1 + smooth / (_RANGE * spread)), 0, 255).astype(np.uint8)
    out[: len(grey), : len(grey[0])] = grey
    return out
