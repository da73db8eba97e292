"""An animated GIF."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from temporem.exporting.base import ExportJob
from temporem.exporting.movie import Movie, require_ending
from temporem.io.files import atomic_write

_COLOURS = 256


class Gif:
    """An animated GIF, which every browser and slide shows."""

    name = "gif"
    summary = "an animated picture"
    resumes = False

    def check(self, out: Path) -> None:
        require_ending(out, ".gif")

    def write(self, job: ExportJob) -> list[str]:
        movie = Movie(job)
        palette: Image.Image | None = None
        images: list[Image.Image] = []
        for picture in movie.pictures():
            image = Image.fromarray(picture)
            # One palette for all, so that still parts do not flicker.
            palette = palette or image.quantize(_COLOURS, dither=Image.Dither.NONE)
            images.append(image.quantize(palette=palette, dither=Image.Dither.NONE))
        with atomic_write(job.out, overwrite=job.overwrite) as temporary:
            images[0].save(
                temporary,
                format="GIF",
                save_all=True,
                append_images=images[1:],
                duration=round(1000 / job.pictures.frames_per_second),
                loop=0,
                optimize=False,
            )
        return movie.sentences()
