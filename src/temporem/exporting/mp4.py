"""An MP4 movie (H.264)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.exporting.base import ExportJob
from temporem.exporting.movie import Movie, Pictures, require_ending
from temporem.io.files import atomic_write, readable_size

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
        movie = Movie(job)
        write_mp4(movie, job.out, job.pictures.frames_per_second, overwrite=job.overwrite)
        return movie.sentences()


def write_mp4(
    movie: Pictures, out: Path, frames_per_second: float, *, overwrite: bool = False
) -> None:
    """Write pictures as an MP4 movie.

    Raises:
        TemporemError: the encoder is not installed, or stopped before the end.
    """
    encoder = _encoder()
    with atomic_write(out, overwrite=overwrite) as temporary:
        writer = encoder.write_frames(
            str(temporary),
            movie.size,
            fps=frames_per_second,
            codec="libx264",
            pix_fmt_out="yuv420p",  # the only one that all players know
            quality=_QUALITY,
            macro_block_size=2,
            ffmpeg_log_level="quiet",
        )
        writer.send(None)
        try:
            for picture in movie.pictures():
                _send(writer, picture, out)
        finally:
            writer.close()
        _require_all(encoder, temporary, len(movie), out)


def _send(writer: Any, picture: np.ndarray, out: Path) -> None:
    try:
        writer.send(np.ascontiguousarray(picture))
    except OSError:
        raise _stopped(out) from None  # its text is the whole command of ffmpeg


def _require_all(encoder: Any, written: Path, wanted: int, out: Path) -> None:
    """Count the pictures: ffmpeg may stop on a full disk without a word."""
    try:
        n, _ = encoder.count_frames_and_secs(str(written))
    except (OSError, RuntimeError):
        n = 0
    if n != wanted:
        raise _stopped(out)


def _stopped(out: Path) -> TemporemError:
    free = readable_size(shutil.disk_usage(out.resolve().parent).free)
    return TemporemError(
        f"cannot write {out}: ffmpeg stopped before the end",
        hint=f"see if the disk, which has {free} free, is full, or pass --format gif",
    )


def _encoder() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise TemporemError(
            "MP4 movies need the package imageio-ffmpeg",
            hint="pip install 'temporem[movie]', or pass --format gif, which needs nothing",
        ) from None
    return imageio_ffmpeg
