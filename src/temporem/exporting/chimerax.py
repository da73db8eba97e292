"""A folder that opens by itself in ChimeraX, and a script that records a movie there.

::

    DIR/0000_….mrc   the volumes, in the order of the series
    DIR/motion.mrc   how much every voxel moves, 0 … 1; it colours the surfaces
    DIR/view.cxc     open this file: volumes as a series, at a level, in colours
    DIR/movie.cxc    the same, and records movie.mp4
    DIR/export.json  what the folder holds

Commands are those of ChimeraX's user documentation. Opening a script makes its folder the current
one, so that names of files are relative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.exporting.base import ExportJob
from temporem.io.files import atomic_write
from temporem.io.mrc import write_volume
from temporem.report.level import Level, find_level
from temporem.report.render import moving_region
from temporem.report.theme import BODY, MOVING
from temporem.runs.export import Cut, export_volumes, require_sizes
from temporem.runs.series import Series

_WINDOW = 1200  # pixels
_PAUSE = 5  # images of the movie for each volume, at 25 a second
_SERIES, _MOTION = "#1", "#2"


class ChimeraX:
    """A folder of MRC files with scripts for ChimeraX."""

    name = "chimerax"
    summary = "a folder for ChimeraX: open its view.cxc"
    resumes = True

    def check(self, out: Path) -> None:
        return

    def write(self, job: ExportJob) -> list[str]:
        if job.options.deviation:
            raise TemporemError("--deviation writes MRC files", hint="pass --format mrc")
        require_sizes(job.options, job.run.grid.box)
        series = numbered(job.series)
        cut = Cut(series, job.options)
        sample = cut.sample()
        level = find_level(sample, job.pictures.level)  # a wrong one is refused before the work
        export_volumes(
            job.run,
            job.out,
            series,
            job.options,
            overwrite=job.overwrite,
            resume=job.resume,
            progress=job.progress,
        )
        motion = moving_region(level.sign * sample, level.height).astype(np.float32)
        write_volume(
            job.out / "motion.mrc",
            motion,
            cut.pixel_size_angstrom,
            origin_angstrom=cut.origin_angstrom,
        )
        view = list(view_script(series, level))
        _write_script(job.out / "movie.cxc", [*view, *movie_script(series)])
        _write_script(job.out / "view.cxc", [*view, *start_script(series)])
        return [
            f"Surface at {level}; another with --level.",
            f'Next, in ChimeraX:  open "{job.out.resolve() / "view.cxc"}"',
        ]


def numbered(series: Series) -> Series:
    """The series with names that sort in its order, as ChimeraX sorts them."""
    width = max(4, len(str(len(series) - 1)))
    names = [f"{i:0{width}d}_{name}" for i, name in enumerate(series.names)]
    return replace(series, names=names, record={**series.record, "names": names})


def view_script(series: Series, level: Level) -> Iterator[str]:
    """Commands that open the volumes and colour their surfaces by motion."""
    n = len(series)
    width = len(series.names[0].split("_")[0])
    yield f"# {n} {'volumes' if n > 1 else 'volume'}; surface at {level}".replace(" σ", " sigma")
    yield f"open {'?' * width}_*.mrc" + (" vseries true" if n > 1 else "")
    yield "open motion.mrc"
    yield f"volume {_MOTION} hide"
    yield f"volume {_SERIES} style surface step 1 level {level.value:.6g} color {_hex(BODY)}"
    yield "set bgColor white"
    yield "lighting soft"
    yield "graphics silhouettes true"
    yield f"windowsize {_WINDOW} {_WINDOW}"
    yield f"view {_SERIES}"
    yield f"key {_hex(BODY)}:still {_hex(MOVING)}:changes pos 0.66,0.05 size 0.28,0.03"
    yield f"2dlabels create title text {_title(series, 0)} xpos 0.03 ypos 0.94 size 28 color black"
    words = _quoted(f"level {level.value:.3g}")
    yield f"2dlabels create level text {words} xpos 0.03 ypos 0.03 size 20 color gray"
    for i in range(n):
        yield from _show(series, i, pause=1)


def start_script(series: Series) -> Iterator[str]:
    """Commands that go back to the first volume and give a slider."""
    if len(series) > 1:
        yield from _show(series, 0, pause=1)
        yield f"vseries slider {_SERIES}"


def movie_script(series: Series) -> Iterator[str]:
    """Commands that record a movie of the series, once through."""
    yield f"movie record size {_WINDOW},{_WINDOW} supersample 3"
    for i in range(len(series)):
        yield from _show(series, i, pause=_PAUSE)
    yield "movie encode movie.mp4 quality high framerate 25"


def _show(series: Series, i: int, *, pause: int) -> Iterator[str]:
    """Commands that show one volume in its colours."""
    surface = _SERIES
    if len(series) > 1:
        yield f"vseries play {_SERIES} jumpTo {i}"
        surface = f"{_SERIES}.{i + 1}"
    yield f"2dlabels change title text {_title(series, i)}"
    yield "wait 1"  # the surface exists once it has been drawn
    yield f"color sample {surface} map {_MOTION} palette 0,{_hex(BODY)}:1,{_hex(MOVING)}"
    yield f"wait {pause}"


def _title(series: Series, i: int) -> str:
    time = float(series.times_seconds[i])
    return _quoted(series.labels[i] + (f", {time:.4g} s" if np.isfinite(time) else ""))


def _write_script(path: Path, lines: list[str]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


def _quoted(text: str) -> str:
    """A text as one word of a command: a movie may have any name."""
    kept = "".join(c if c.isprintable() and c not in '"\\;' else "_" for c in text)
    return f'"{kept}"'
