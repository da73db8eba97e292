"""Pictures of an extraction: the movie with its tracks, and the images of single tracks."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from temporem.extraction.extract import Extraction
from temporem.extraction.tracks import Track

_WIDTH, _MOST_PICTURES, _TAIL = 512, 40, 10
_TILE, _LABEL, _WINDOWS = 64, 150, 10
_LETTERS = 22  # of a name that fit into a label; the track is at its end
_MILLISECONDS = 150


def save_overlay(path: Path, extraction: Extraction) -> None:
    """Save a GIF of averages of neighbouring frames, with circles and trails of the tracks."""
    flat = extraction.flat
    n, height, width = flat.movie.shape
    factor = max(1, round(max(height, width) / _WIDTH))
    ends = np.linspace(0, n, min(n, _MOST_PICTURES) + 1).round().astype(int)
    pictures = []
    for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        mean = np.zeros((height // factor, width // factor))
        for frame in range(start, stop):
            cut = flat.frame(frame)[: len(mean) * factor, : mean.shape[1] * factor]
            mean += cut.reshape(len(mean), factor, -1, factor).mean(axis=(1, 3))
        picture = Image.fromarray(_grey(mean)).convert("RGB")
        _draw(ImageDraw.Draw(picture), extraction, (start + stop - 1) // 2, factor)
        pictures.append(picture.quantize(64))
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=_MILLISECONDS, loop=0
    )


def _draw(draw: ImageDraw.ImageDraw, extraction: Extraction, frame: int, factor: int) -> None:
    radius = 0.6 * extraction.cutting.diameter_pixels / factor
    for i, track in enumerate(extraction.tracks):
        past = (track.frames <= frame) & (track.frames > frame - _TAIL)
        if not (past.any() and track.frames[-1] >= frame):
            continue
        colour = tuple(int(255 * c) for c in colorsys.hsv_to_rgb(i * 0.618 % 1, 0.8, 1.0))
        line = [tuple(place) for place in (track.places[past] + 0.5) / factor]
        x, y = line[-1]
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour)
        if len(line) > 1:
            draw.line(line, fill=colour)


class Contacts:
    """Images of some tracks, averaged over windows of time, for a picture to look at.

    Args:
        tracks: those to show.
        box: edge of an image.
    """

    def __init__(self, tracks: Sequence[tuple[str, Track]], box: int) -> None:
        self._tracks = tracks
        self._sums = np.zeros((len(tracks), _WINDOWS, box, box))
        self._counts = np.zeros((len(tracks), _WINDOWS))

    def add(self, row: int, position: int, image: np.ndarray) -> None:
        """Add an image of a track to its window."""
        window = position * _WINDOWS // len(self._tracks[row][1])
        self._sums[row, window] += image
        self._counts[row, window] += 1

    def save(self, path: Path) -> None:
        """Save a PNG: a line for each track, with name and quality, in order of time."""
        tile = max(_TILE, self._sums.shape[-1])
        size = (_LABEL + _WINDOWS * (tile + 2), len(self._tracks) * (tile + 2))
        sheet = Image.new("L", size, 255)
        draw = ImageDraw.Draw(sheet)
        for row, (name, track) in enumerate(self._tracks):
            top = row * (tile + 2)
            short = name if len(name) <= _LETTERS else f"...{name[3 - _LETTERS :]}"
            text = f"{short}\n{len(track)} frames\nevidence {track.quality:.1f}"
            draw.text((4, top + 4), text.encode("ascii", "replace").decode(), fill=0)
            used = self._counts[row] > 0
            means = self._sums[row][used] / self._counts[row][used, None, None]
            grey = _grey(means.reshape(-1, means.shape[-1])).reshape(means.shape)
            for column, image in zip(np.flatnonzero(used), grey, strict=True):
                picture = Image.fromarray(image).resize((tile, tile), Image.Resampling.NEAREST)
                sheet.paste(picture, (_LABEL + int(column) * (tile + 2), top))
        sheet.save(path)


def _grey(image: np.ndarray) -> np.ndarray:
    """Bytes 0 to 255 between the first and the last percent of the pixels."""
    low, high = np.percentile(image, [1, 99])
    scaled = (image - low) / max(float(high - low), np.finfo(float).tiny)
    return np.asarray((255 * scaled).clip(0, 255).astype(np.uint8))
