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

    from temporem.runs.latent_points import LatentPoints
    from temporem.runs.run import Run
    from temporem.runs.series import Series

_NUMBERS = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)


def export(
    run: RunFolder,
    /,
    *,
    out: Annotated[Path, output("Folder to write; for mp4, gif and png a file.")],
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
    latent: Annotated[
        str | None,
        Parameter(
            help="Volumes of latents instead of frames: 0.3,-1 for one latent of two dimensions, "
            "several behind semicolons.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    path: Annotated[
        str | None,
        Parameter(
            help="Volumes along a straight path FROM:TO:N, such as 0.3,-1:1,0:20; also "
            "FROM:OVER:TO:N.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    along: Annotated[
        str | None,
        Parameter(
            help="Volumes along a principal component of the latents: PC1, or PC1:20 for 20 "
            "volumes; from the 5th to the 95th percentile of the frames."
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        Parameter(help="One volume for each of this many clusters of the latents (k-means)."),
    ] = None,
    format: Annotated[
        Literal["mrc", "chimerax", "napari", "mp4", "gif", "png"],
        Parameter(
            help="mrc: a folder of MRC files. chimerax: a folder with a script that opens it. "
            "napari: an OME-Zarr image. mp4 and gif: a movie. png: up to 24 volumes side by side."
        ),
    ] = "mrc",
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
            help="linear, mrc: also write the posterior standard deviation of voxels, in files "
            "that end in _sd.mrc.",
        ),
    ] = False,
    level: Annotated[
        float | None,
        Parameter(
            help="Density of the surface in pictures and scripts; found from the volumes if not "
            "given.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    size: Annotated[int, Parameter(help="mp4, gif, png: edge of a picture in pixels.")] = 600,
    fps: Annotated[float, Parameter(help="mp4, gif: volumes shown in a second.")] = 8.0,
    seed: Annotated[int, Parameter(help="Seed of the clusters.")] = 0,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Continue a folder of MRC files that was stopped; pass the same options.",
        ),
    ] = False,
) -> None:
    """Write volumes of a run: of its frames, or of any latents.

    Without --movie, --frames and the options for latents, all frames are written. Names carry row,
    movie, number and time of the frame. After Ctrl-C, --resume writes the volumes that are missing.

    Example:  temporem export 7bcq-run --movie movie_0001 --format chimerax -o volumes
    Example:  temporem export 7bcq-run --along PC1:20 --format gif -o motion.gif
    """
    if resume and overwrite:
        raise TemporemError("--resume and --overwrite exclude each other", hint="pass one of them")
    _require_one_source(
        {"--latent": latent, "--path": path, "--along": along, "--clusters": clusters},
        {"--movie": movie, "--frames": frames},
    )
    from temporem.exporting.base import ExportJob, PictureOptions
    from temporem.exporting.formats import FORMATS
    from temporem.runs.export import RECORD_NAME, ExportOptions
    from temporem.runs.run import load_run

    writer = FORMATS[format]
    if resume and not writer.resumes:
        raise TemporemError(f"--resume continues folders of MRC files, not {format}")
    writer.check(out)
    adopt_leftovers(out, deep=resume)
    if not writer.resumes and out.exists() and not overwrite:
        raise TemporemError(f"{out} exists", hint="choose another name or pass --overwrite")
    loaded = load_run(run)
    series = _series(loaded, movie, frames, latent, path, along, clusters, seed)
    options = ExportOptions(downsample, crop, deviation)
    pictures = PictureOptions(size, fps, level)
    try:
        with progress_bar("Exporting") as bar:
            job = ExportJob(loaded, series, out, options, pictures, overwrite, resume, bar)
            sentences = writer.write(job)
    except KeyboardInterrupt:
        if not (writer.resumes and (out / RECORD_NAME).is_file()):
            raise KeyboardInterrupt("stopped before anything was written") from None
        words = ["temporem", "export", str(run), "-o", str(out)]
        for name, value in (
            ("--movie", movie),
            ("--frames", frames),
            ("--latent", latent),
            ("--path", path),
            ("--along", along),
            ("--clusters", clusters),
            ("--format", format if format != "mrc" else None),
            ("--downsample", downsample),
            ("--crop", crop),
            ("--level", level),
            ("--seed", seed or None),
        ):
            words += [] if value is None else [name, str(value)]
        words += ["--deviation"] if deviation else []
        command = shlex.join([*words, "--resume"])
        raise KeyboardInterrupt(f"stopped; continue with: {command}") from None
    say(f"{len(series)} {'volume' if len(series) == 1 else 'volumes'}: {out}")
    for sentence in sentences:
        say(sentence)


def _require_one_source(latents: dict[str, object], frames: dict[str, object]) -> None:
    """Refuse options that name different volumes."""
    given = [name for name, value in latents.items() if value is not None]
    others = [name for name, value in frames.items() if value is not None]
    if len(given) > 1 or (given and others):
        both = [*given, *others][:2]
        raise TemporemError(f"{' and '.join(both)} exclude each other", hint="pass one of them")


def _series(
    run: Run,
    movie: str | None,
    frames: str | None,
    latent: str | None,
    path: str | None,
    along: str | None,
    clusters: int | None,
    seed: int,
) -> Series:
    """The volumes that the options name; warns of latents where no frame is."""
    from temporem.runs import latent_points
    from temporem.runs.series import frames_series, points_series

    points: LatentPoints | None = None
    if latent is not None:
        points = latent_points.given_points(run, latent)
    elif path is not None:
        points = latent_points.path_points(run, path)
    elif along is not None:
        points = latent_points.component_points(run, along)
    elif clusters is not None:
        latents = latent_points.latents_of_run(run)
        found = latent_points.cluster_frames(latents, clusters, seed)
        points = latent_points.cluster_points(latents, found)
    if points is None:
        return frames_series(run, choose_rows(run, movie, frames))
    warning = latent_points.far_from_data(run, points)
    if warning is not None:
        say(f"Caution: {warning}")
    return points_series(run, points)


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
