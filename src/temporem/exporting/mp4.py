"""An MP4 movie (H.264)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.exporting.base import ExportJob
from temporem.exporting.movie import Movie, require_ending
from temporem.io.files import atomic_write

_QUALITY = 8  # of 10


class Mp4:
    """An MP4 movie, which players and slides show."""

    name = "mp4"
    summary = "a movie"
    resumes = False

    def check(self, out: Path) -> None:
        require_ending(out, ".mp4")
        _encoder()

    def write(self, job: ExportJob) -> list[str]:
        encoder, movie = _encoder(), Movie(job)
        size = job.pictures.size
        with atomic_write(job.out, overwrite=job.overwrite) as temporary:
            writer = encoder.write_frames(
                str(temporary),
                (size, size),
                fps=job.pictures.frames_per_second,
                codec="libx264",
                pix_fmt_out="yuv420p",  # the only one that all players know
                quality=_QUALITY,
                macro_block_size=2,
                ffmpeg_log_level="error",
            )
            writer.send(None)
            try:
                for picture in movie.pictures():
                    writer.send(np.ascontiguousarray(picture))
            finally:
                writer.close()
        return movie.sentences()


def _encoder() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise TemporemError(
            "MP4 movies need the package imageio-ffmpeg",
            hint="pip install 'temporem[movie]', or pass --format gif, which needs nothing",
        ) from None
    return imageio_ffmpeg
