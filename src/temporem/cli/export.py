"""``temporem export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from temporem.cli.console import progress_bar, say
from temporem.cli.options import Overwrite, output
from temporem.errors import TemporemError

if TYPE_CHECKING:
    import numpy as np

    from temporem.training.run_files import Run

_BATCH = 16


def export(
    run: Annotated[Path, Parameter(help="Run folder.")],
    /,
    *,
    out: Annotated[Path, output("Folder to write.")],
    movie: Annotated[
        str | None, Parameter(help="Only frames of this movie (rlnParticleName).")
    ] = None,
    frames: Annotated[
        str | None,
        Parameter(
            help="Only these, as in 1,3,5-8: frame numbers of the movie (from 1) with --movie, "
            "else rows of particles.star (from 0)."
        ),
    ] = None,
    deviation: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="linear: also frame_ROW_sd.mrc, the posterior standard deviation of every voxel.",
        ),
    ] = False,
    format: Annotated[Literal["mrc"], Parameter(help="File format.")] = "mrc",
    overwrite: Overwrite = False,
) -> None:
    """Write volumes of frames, frame_ROW.mrc for row ROW of particles.star, counted from 0.

    Example:  temporem export 7bcq-run --movie movie_001 -o volumes
    """
    from temporem.data.files import fresh_directory
    from temporem.data.outputs import require_replaceable
    from temporem.data.volume import write_volume
    from temporem.training.run_files import load_run

    if overwrite:
        require_replaceable(out, "a folder of volumes", holds="frame_*.mrc")
    loaded = load_run(run)
    rows = choose_rows(loaded, movie, frames)
    with fresh_directory(out, overwrite=overwrite) as directory, progress_bar("Exporting") as bar:
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            for row, volume in zip(batch, loaded.voxels(batch), strict=True):
                path = directory / f"frame_{row:06d}.{format}"
                write_volume(path, volume, loaded.grid.pixel_size_angstrom)
            if deviation:
                for row, volume in zip(batch, loaded.voxel_deviations(batch), strict=True):
                    path = directory / f"frame_{row:06d}_sd.{format}"
                    write_volume(path, volume, loaded.grid.pixel_size_angstrom)
            bar(start + len(batch), len(rows))
    say(f"{len(rows)} volumes: {out}")


def choose_rows(run: Run, movie: str | None, frames: str | None) -> np.ndarray:
    """Rows that ``--movie`` and ``--frames`` name, in the order in which they are named.

    Raises:
        TemporemError: no such movie, frame or row.
    """
    import numpy as np

    candidates = np.arange(run.n_frames) if movie is None else run.rows_of_movie(movie)
    if frames is None:
        return candidates
    names = candidates if movie is None else run.frame_numbers[candidates]
    row_of = dict(zip(names.tolist(), candidates.tolist(), strict=True))
    wanted = list(dict.fromkeys(_numbers(frames)))
    for number in wanted:
        if number not in row_of:
            what = "row" if movie is None else f"frame of movie '{movie}'"
            raise TemporemError(
                f"--frames {frames}: {number} is no {what}",
                expected=f"numbers from {names.min()} to {names.max()}",
            )
    return np.array([row_of[number] for number in wanted])


def _numbers(text: str) -> list[int]:
    """``1,3,5-8`` as a list."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise TemporemError(f"--frames {text}: not understood", expected="such as 0,3,10-19")
        numbers += range(int(first), int(last or first) + 1)
    return numbers
