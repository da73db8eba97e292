"""Pictures of volumes with words: scale bar, time, level, and what the colours mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from temporem.errors import TemporemError
from temporem.report.camera import View, revealing_view
from temporem.report.level import Level, find_level
from temporem.report.render import moving_region, render_isosurface
from temporem.report.theme import BODY, MOVING

INK = (31, 41, 55)
FAINT = (107, 114, 128)
_BAR_FRACTION = 0.28  # longest scale bar, of the width of the picture
_MOVES = 0.5  # tint of a voxel that clearly moves


@dataclass(frozen=True, eq=False)
class Scene:
    """Choices that all pictures of a series share.

    Attributes:
        level: density of the surface.
        view: direction to look from, and part of the box in the picture.
        tint: how much every voxel moves, 0 … 1, ``(D, D, D)``.
        pixel_size_angstrom: edge of a voxel, Å.
        size: edge of a picture, pixels.
    """

    level: Level
    view: View
    tint: np.ndarray
    pixel_size_angstrom: float
    size: int

    @property
    def moves(self) -> bool:
        """Some of the surface moves, so that colours have a meaning."""
        return bool((self.tint > _MOVES).any())

    def picture(
        self, volume: np.ndarray, title: str = "", time_seconds: float | None = None
    ) -> np.ndarray:
        """Draw a volume ``(D, D, D)`` on white with its words: RGB ``(size, size, 3)`` uint8."""
        surface = render_isosurface(
            self.level.sign * volume,
            self.level.height,
            self.view,
            self.size,
            tint=self.tint if self.moves else None,
        )
        image = Image.new("RGBA", (self.size, self.size), "white")
        image.alpha_composite(Image.fromarray(surface))
        picture = image.convert("RGB")
        self._write(ImageDraw.Draw(picture), title, time_seconds)
        return np.asarray(picture)

    def _write(self, draw: ImageDraw.ImageDraw, title: str, time_seconds: float | None) -> None:
        edge, font = self.size, _font(max(11, round(self.size / 30)))
        small = _font(max(10, round(self.size / 38)))
        margin = round(edge / 32)
        if time_seconds is not None and math.isfinite(time_seconds):
            words = f"{time_seconds:.4g} s"
            draw.text((edge - margin, margin), words, INK, font, anchor="ra")
            room = edge - 3 * margin - draw.textlength(words, font)
        else:
            room = edge - 2 * margin
        draw.text((margin, margin), _shortened(draw, title, font, room), INK, font, anchor="la")
        self._write_bar(draw, small, margin)
        draw.text((edge - margin, edge - margin), str(self.level), FAINT, small, anchor="rd")
        if self.moves:
            self._write_key(draw, small, margin)

    def _write_bar(
        self, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, margin: int
    ) -> None:
        """A bar of a round length, at the lower left."""
        edge = self.size
        angstrom_per_pixel = (self.view.extent or len(self.tint)) * self.pixel_size_angstrom / edge
        length = round_length(_BAR_FRACTION * edge * angstrom_per_pixel)
        width, thick = round(length / angstrom_per_pixel), max(2, round(edge / 160))
        bottom = edge - margin
        draw.rectangle((margin, bottom - thick + 1, margin + width - 1, bottom), fill=INK)
        words = f"{length / 10:g} nm" if length >= 100 else f"{length:g} Å"
        draw.text((margin + width / 2, bottom - thick - margin / 4), words, INK, font, anchor="md")

    def _write_key(
        self, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, margin: int
    ) -> None:
        """Two dots that say what the colours mean, above the level."""
        right = self.size - margin
        _, top, _, bottom = font.getbbox("mg", anchor="ls")
        height = bottom - top
        middle = self.size - margin - 2.6 * height
        for words, colour in (("changes", MOVING), ("still", BODY)):
            draw.text((right, middle), words, FAINT, font, anchor="rm")
            right -= round(draw.textlength(words, font) + 0.9 * height)
            radius = 0.36 * height
            fill = tuple(round(255 * part) for part in colour)
            draw.ellipse(
                (right - radius, middle - radius, right + radius, middle + radius), fill=fill
            )
            right -= round(1.2 * height)


def make_scene(
    sample: np.ndarray,
    pixel_size_angstrom: float,
    *,
    size: int = 600,
    level: float | None = None,
    view: View | None = None,
) -> Scene:
    """Choose level, direction, frame and colours for a series of volumes.

    Args:
        sample: some of the volumes, ``(S, D, D, D)``.
        pixel_size_angstrom: edge of a voxel, Å.
        size: edge of a picture, pixels.
        level: density of the surface; :func:`find_level` when None.
        view: direction to look from; that in which most of the motion is seen when None.

    Raises:
        TemporemError: no voxel exceeds the level.
    """
    found = find_level(sample, level)
    sample = found.sign * sample
    direction = view or revealing_view(sample, found.height)
    tint = moving_region(sample, found.height)
    framed = direction if direction.extent else _roomy(direction.framing(sample, found.height))
    return Scene(found, framed, tint, pixel_size_angstrom, size)


def render(
    volumes: np.ndarray,
    pixel_size_angstrom: float,
    *,
    times_seconds: Sequence[float] | np.ndarray | None = None,
    titles: Sequence[str] | None = None,
    level: float | None = None,
    size: int = 600,
) -> np.ndarray:
    """Draw volumes as shaded surfaces, with scale bar, time and level written on them.

    All have one level, direction and scale. Parts that move are orange, the others slate. It
    needs no screen.

    Args:
        volumes: ``(n, D, D, D)`` (z, y, x), or one ``(D, D, D)``.
        pixel_size_angstrom: edge of a voxel, Å.
        times_seconds: time of each, ``(n,)``; not written when None.
        titles: words on each; none when None.
        level: density of the surface; found from the volumes when None.
        size: edge of a picture, pixels.

    Returns:
        RGB pictures ``(n, size, size, 3)`` uint8.

    Raises:
        TemporemError: the array is no stack of cubes, titles or times are not one for each, or no
            voxel exceeds the level.

    Example:
        >>> run = tm.load_run("tempor-run")
        >>> volumes = run.voxels(run.rows_of_movie("movie_0001")[:2])
        >>> tm.render(volumes, run.grid.pixel_size_angstrom, size=200).shape
        (2, 200, 200, 3)
    """
    stack = np.asarray(volumes, dtype=np.float32)
    stack = stack[None] if stack.ndim == 3 else stack
    if stack.ndim != 4 or len(stack) == 0 or len(set(stack.shape[1:])) != 1:
        raise TemporemError(
            f"volumes of shape {np.shape(volumes)}", expected="(n, D, D, D) with n at least 1"
        )
    for name, given in (("times_seconds", times_seconds), ("titles", titles)):
        if given is not None and len(given) != len(stack):
            raise TemporemError(f"{len(given)} {name} of {len(stack)} volumes")
    scene = make_scene(stack, pixel_size_angstrom, size=size, level=level)
    return np.stack(list(pictures(scene, stack, titles, times_seconds)))


def pictures(
    scene: Scene,
    volumes: Iterable[np.ndarray],
    titles: Sequence[str] | None = None,
    times_seconds: Sequence[float] | np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Draw volumes one after another: RGB ``(size, size, 3)`` uint8 each."""
    for i, volume in enumerate(volumes):
        time = None if times_seconds is None else float(times_seconds[i])
        yield scene.picture(volume, titles[i] if titles else "", time)


def round_length(longest: float) -> float:
    """Find the longest of 1, 2, 5, 10, 20 … (and their tenths) that is at most ``longest``."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))


def _roomy(view: View) -> View:
    """Leave room for the words above and below."""
    assert view.extent is not None
    return View(view.elevation_degrees, view.azimuth_degrees, view.centre, 1.15 * view.extent)


def _shortened(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, room: float
) -> str:
    """The text, cut in its middle so that it fits."""
    kept = len(text)
    shown = text
    while kept > 2 and draw.textlength(shown, font) > room:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return shown


@cache
def _font(points: int) -> ImageFont.FreeTypeFont:
    """A font that has Å and σ: the one that comes with matplotlib."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf", points)
