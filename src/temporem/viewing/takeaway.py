"""Downloads of the page: volumes, particles, and the commands that make the same."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.mrc import write_volume
from temporem.runs.series import Series, frames_series
from temporem.runs.source_rows import locate_rows, write_rows
from temporem.viewing.gallery import Panel
from temporem.viewing.sources import Shown, ShownRun


@dataclass(frozen=True)
class Download:
    """A file to save.

    Attributes:
        name: its name.
        data: its bytes.
    """

    name: str
    data: bytes


def volume_file(panel: Panel, clip: int | str, frame: int) -> Download:
    """Write a volume as an MRC file, as ``temporem export`` does; of a truth, as it is shown."""
    shown = panel.shown
    if isinstance(shown, ShownRun):
        series = series_of(panel, clip)
        if not 0 <= frame < len(series):
            raise TemporemError(f"there is no volume {frame}")
        voxels = series.source.voxels(series.rows[frame : frame + 1])[0]
        size, name = shown.run.grid.pixel_size_angstrom, series.names[frame]
    else:
        voxels, size = panel.levels.sign * panel.volume(clip, frame), shown.pixel_size_angstrom
        name = f"truth_{panel.row(int(clip), frame):06d}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.mrc"
        write_volume(path, voxels, size)
        return Download(f"{name}.mrc", path.read_bytes())


def selection_file(shown: Shown, rows: Sequence[int]) -> Download:
    """Write frames as rows of the file that they came from, as ``temporem select`` does.

    Raises:
        TemporemError: this is no run, there are no such frames, or their file is not there.
    """
    if not isinstance(shown, ShownRun):
        raise TemporemError(f"{shown.name} is no run")
    frames = np.unique(np.array(rows, dtype=np.int64))
    if len(frames) == 0 or frames[0] < 0 or frames[-1] >= shown.run.n_frames:
        raise TemporemError(
            "no frame is selected" if len(frames) == 0 else "there are no such frames"
        )
    chosen = locate_rows(shown.run, frames)
    ending = ".cs" if chosen.is_cryosparc else ".star"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"selection{ending}"
        write_rows(chosen, path)
        return Download(path.name, path.read_bytes())


def commands(
    panels: Sequence[Panel], panel: Panel, clip: int | str, frame: int, sigmas: float
) -> dict[str, str]:
    """Command lines that give what is seen: the page, and of a run the movie and the volume."""
    shown = panel.shown
    half = isinstance(shown, ShownRun) and shown.half
    folders = dict.fromkeys(str(one.shown.path) for one in panels)
    found = {"this page": _words("view", *folders, *(["--half-sets"] if half else []))}
    if not isinstance(shown, ShownRun) or half or shown.so_far:
        return found
    run, level = str(shown.path), f"{panel.levels.sign * panel.levels.value(sigmas):.6g}"
    if isinstance(clip, str):
        record = series_of(panel, clip).record
        texts = [",".join(f"{value:.6g}" for value in point) for point in record["latents"]]
        every, single = [f"--latent={';'.join(texts)}"], [f"--latent={texts[frame]}"]
        if "clusters" in record:
            every = ["--clusters", str(record["clusters"])]
        name = "path"
    else:
        name = shown.movie_name(clip)
        number = shown.frame_numbers[panel.row(clip, frame)]
        every = ["--movie", name]
        single = [*every, "--frames", str(number)]
        name = "movie"
    picture = ("--level", level, "--format", "mp4", "-o", f"{name}.mp4")
    found["this movie" if name == "movie" else "this path"] = _words(
        "export", run, *every, *picture
    )
    found["this volume"] = _words("export", run, *single, "-o", "volume")
    return found


def series_of(panel: Panel, clip: int | str) -> Series:
    """The volumes of a movie or path of a run, in full size."""
    shown = panel.shown
    assert isinstance(shown, ShownRun)
    if isinstance(clip, str):
        return panel.path(clip)
    return frames_series(shown.run, panel.rows(clip))


def _words(*words: str) -> str:
    return shlex.join(["temporem", *words])
