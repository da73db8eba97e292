"""An animated GIF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from temporem.exporting.base import ExportJob
from temporem.exporting.movie import Movie, Pictures, require_ending
from temporem.io.files import atomic_write

_FREQUENT, _RARE = 160, 96  # colours, 256 in all


class Gif:
    """An animated GIF, which every browser and slide shows."""

    name = "gif"
    summary = "an animated picture"
    resumes = False

    def check(self, out: Path) -> None:
        require_ending(out, ".gif")

    def write(self, job: ExportJob) -> list[str]:
        movie = Movie(job)
        write_gif(movie, job.out, job.pictures.frames_per_second, overwrite=job.overwrite)
        return movie.sentences()


def write_gif(
    movie: Pictures, out: Path, frames_per_second: float, *, overwrite: bool = False
) -> None:
    """Write pictures as an animated GIF."""
    palette = _palette(movie.colours())
    images = [
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in movie.pictures()
    ]
    with atomic_write(out, overwrite=overwrite) as temporary:
        images[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=round(1000 / frames_per_second),
            loop=0,
            optimize=False,
        )


def _palette(picture: np.ndarray) -> Image.Image:
    """Choose colours for all pictures, so that still parts do not flicker.

    Most are for shades that are frequent, the body's; the others also for rare ones, of what moves.
    """
    image = Image.fromarray(picture)
    colours: list[int] = []
    for n, method in (
        (_FREQUENT, Image.Quantize.MEDIANCUT),
        (_RARE, Image.Quantize.MAXCOVERAGE),
    ):
        found = image.quantize(n, method=method).getpalette() or []
        colours += found[: 3 * n]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return palette
