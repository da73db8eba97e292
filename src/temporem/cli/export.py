"""``temporem export``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from temporem.cli.console import progress_bar, say
from temporem.cli.options import Overwrite, RunFolder, output
from temporem.errors import TemporemError
from temporem.io.leftovers import adopt_leftovers

if TYPE_CHECKING:
    import numpy as np

    from temporem.runs.run import Run

_NUMBERS = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)


def export(
    run: RunFolder,
    /,
    *,
    out: Annotated[Path, output("Folder to write.")],
    movie: Annotated[
        str | None, Parameter(help="Only frames of this movie (rlnParticleName).")
    ] = None,
    frames: Annotated[
        str | None,
        Parameter(
            help="Only these frames, as in 1,3,5-8. With --movie: frame numbers, counted from 1. "
            "Without: rows of particles.star, counted from 0."
        ),
    ] = None,
    downsample: Annotated[
        int | None,
        Parameter(
            help="New edge of the volumes in voxels. Voxels become larger; frequencies beyond "
            "their Nyquist are cut off."
        ),
    ] = None,
    crop: Annotated[
        int | None, Parameter(help="Write only the central part, with this edge in voxels.")
    ] = None,
    deviation: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="linear: also write frame_ROW_sd.mrc, the posterior standard deviation of every "
            "voxel.",
        ),
    ] = False,
    format: Annotated[Literal["mrc"], Parameter(help="File format.")] = "mrc",
    overwrite: Overwrite = False,
    resume: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Continue an export that was stopped; pass the same options.",
        ),
    ] = False,
) -> None:
    """Write the volumes of a run's frames as MRC files.

    Row ROW of particles.star, counted from 0, becomes frame_ROW.mrc. Without --movie and --frames,
    all frames are written. After Ctrl-C, --resume writes the volumes that are missing.

    Example:  temporem export 7bcq-run --movie movie_0001 -o volumes
    """
    if resume and overwrite:
        raise TemporemError("--resume and --overwrite exclude each other", hint="pass one of them")
    from temporem.runs.export import RECORD_NAME, ExportOptions, export_volumes
    from temporem.runs.run import load_run

    if resume:
        adopt_leftovers(out, deep=True)
    loaded = load_run(run)
    rows = choose_rows(loaded, movie, frames)
    options = ExportOptions(downsample, crop, deviation)
    arguments: list[object] = ["temporem", "export", run, "-o", out]
    for name, value in (
        ("--movie", movie),
        ("--frames", frames),
        ("--downsample", downsample),
        ("--crop", crop),
    ):
        arguments += [] if value is None else [name, value]
    arguments += ["--deviation"] if deviation else []
    try:
        with progress_bar("Exporting") as bar:
            export_volumes(
                loaded, out, rows, options, overwrite=overwrite, resume=resume, progress=bar
            )
    except KeyboardInterrupt:
        if not (out / RECORD_NAME).is_file():
            raise KeyboardInterrupt("stopped before anything was written") from None
        command = shlex.join([*map(str, arguments), "--resume"])
        raise KeyboardInterrupt(f"stopped; continue with: {command}") from None
    say(f"{len(rows)} volumes: {out}")
    say(f"Next, in ChimeraX:  {_open_command(out, len(rows), deviation=deviation)}")


def _open_command(out: Path, n: int, *, deviation: bool) -> str:
    """Command of ChimeraX that opens the volumes, several of them as a series to play."""
    pattern = "frame_??????.mrc" if deviation else "frame_*.mrc"
    series = " vseries true" if n > 1 else ""
    return f'open "{out.resolve() / pattern}"{series}'


def choose_rows(run: Run, movie: str | None, frames: str | None) -> np.ndarray:
    """Find the rows that ``--movie`` and ``--frames`` name, in the order given.

    Raises:
        TemporemError: no such movie, frame or row.
    """
    import numpy as np

    candidates = np.arange(run.n_frames) if movie is None else run.rows_of_movie(movie)
    if frames is None:
        return candidates
    names = candidates if movie is None else run.frame_numbers[candidates]
    row_of = dict(zip(names.tolist(), candidates.tolist(), strict=True))
    chosen: dict[int, None] = {}  # in order, each once
    for number in _numbers(frames):
        if number not in row_of:
            what = "row" if movie is None else f"frame of movie '{movie}'"
            raise TemporemError(
                f"--frames {frames}: there is no {what} {number}",
                expected=f"numbers from {names.min()} to {names.max()}",
            )
        chosen[number] = None
    return np.array([row_of[number] for number in chosen])


def _numbers(text: str) -> Iterator[int]:
    """Give the numbers of ``1,3,5-8`` one by one, because a range may be longer than memory."""
    for part in text.split(","):
        found = _NUMBERS.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise TemporemError(
                f"--frames {text}: not understood", expected="a list such as 0,3,10-19"
            )
        yield from range(first, last + 1)
