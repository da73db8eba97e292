"""``temporem select``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from temporem.cli.console import say
from temporem.cli.options import Overwrite, RunFolder, dataset_folder, output
from temporem.errors import TemporemError
from temporem.io.leftovers import adopt_leftovers

_CLUSTER = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)


def select(
    run: RunFolder,
    /,
    *,
    out: Annotated[Path, output("File to write: .star, or .cs for data from cryoSPARC.")],
    where: Annotated[
        str | None,
        Parameter(
            help="Condition, such as 'z1 > 0.5 and frame <= 10'. It compares z1 …, movie, frame, "
            "time, row and the numbers in frames.star."
        ),
    ] = None,
    movies: Annotated[
        str | None, Parameter(help="Only these movies (rlnParticleName), as in movie_1,movie_7.")
    ] = None,
    cluster: Annotated[
        str | None,
        Parameter(
            help="Only one cluster of the latents (k-means): 2/5 is the second of five, counted "
            "along the first principal component."
        ),
    ] = None,
    frames_csv: Annotated[
        Path | None,
        Parameter(help="Only frames in a CSV file with the columns movie and frame, or row."),
    ] = None,
    poses: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Write the run's poses instead of those of the original file.",
        ),
    ] = False,
    source: Annotated[
        Path | None,
        Parameter(
            help="The original file, if it has moved, or if there are several: only its rows are "
            "written."
        ),
    ] = None,
    dataset: Annotated[
        Path | None, dataset_folder("Dataset, if it has moved since the run was made.")
    ] = None,
    seed: Annotated[int, Parameter(help="Seed of the clusters.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write some rows of the file that the dataset came from, for RELION or cryoSPARC.

    All columns, tables and ids stay as they are in the original file. Several criteria must hold
    together. A dataset that was not imported, or that came from bare stacks, is itself
    the original.

    Example:  temporem select 7bcq-run --where "z1 > 0.5" -o open.star
    """
    if where is movies is cluster is frames_csv is None and not poses:
        raise TemporemError(
            "nothing says which frames to select",
            expected="--where, --movies, --cluster or --frames-csv",
            hint="pass --poses alone for all frames with the run's poses",
        )
    adopt_leftovers(out)
    if out.exists() and not overwrite:
        raise TemporemError(f"{out} exists", hint="choose another name or pass --overwrite")
    from temporem.runs.run import load_run
    from temporem.runs.selection import Criteria, select_frames
    from temporem.runs.source_rows import locate_rows, write_rows

    loaded = load_run(run)
    names = None if movies is None else [name.strip() for name in movies.split(",")]
    criteria = Criteria(where, names, _cluster(cluster), frames_csv, seed)
    chosen = locate_rows(loaded, select_frames(loaded, criteria), dataset=dataset, source=source)
    write_rows(chosen, out, poses=loaded.poses if poses else None, overwrite=overwrite)
    n_movies = len({loaded.particle_names[frame] for frame in chosen.frames})
    say(
        f"{len(chosen.frames)} of {loaded.n_frames} frames, of {n_movies} movies: {out}"
        + (" (poses of the run)" if poses else "")
    )
    if not chosen.is_cryosparc and out.resolve().parent != chosen.source.resolve().parent:
        say(
            f"Names of images are as in {chosen.source.name}: start RELION in the folder of the "
            "same project."
        )


def _cluster(text: str | None) -> tuple[int, int] | None:
    found = None if text is None else _CLUSTER.fullmatch(text.strip())
    if text is not None and found is None:
        raise TemporemError(
            f"--cluster {text}: not understood", expected="2/5 for the second of five clusters"
        )
    return None if found is None else (int(found[1]), int(found[2]))
