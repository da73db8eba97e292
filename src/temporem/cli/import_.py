"""``temporem import``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from temporem.cli.console import print_facts, print_json, progress_bar, say
from temporem.cli.options import Json, Overwrite, output, refuse_missing


def import_(
    files: Annotated[
        list[Path],
        Parameter(
            negative="",
            validator=refuse_missing(
                Path.exists, "", expected="a STAR file, .cs files or stacks", hint="see --help"
            ),
            help="A RELION .star file; or cryoSPARC .cs files of one job, passthrough last; or "
            "image stacks and folders of them. Beside them .csv, .pkl or .npz files of poses, CTF "
            "or movies.",
        ),
    ],
    /,
    *,
    out: Annotated[Path, output("Dataset folder to write.")],
    datadir: Annotated[
        Path | None,
        Parameter(help="Folder that names of stacks are relative to, such as a project's root."),
    ] = None,
    movie_from: Annotated[
        str | None, Parameter(help="Column: images with the same text in it are a movie.")
    ] = None,
    frame_from: Annotated[
        str | None,
        Parameter(help="Column of numbers, times or doses that orders frames; else rows do."),
    ] = None,
    frames_per_movie: Annotated[
        int | None, Parameter(help="So many images in a row of a stack are a movie.")
    ] = None,
    stack_is_movie: Annotated[
        bool, Parameter(negative="", show_default=False, help="Every stack is a movie.")
    ] = False,
    size: Annotated[
        int | None, Parameter(help="Box of the dataset in pixels, even; coarser by Fourier crop.")
    ] = None,
    pixel_size: Annotated[float | None, Parameter(help="Pixel size of the dataset in Å.")] = None,
    input_pixel_size: Annotated[
        float | None, Parameter(help="Pixel size of the images as they are, in Å.")
    ] = None,
    invert: Annotated[
        Literal["auto", "yes", "no"],
        Parameter(help="Flip the sign, so that the molecule is bright; auto finds out."),
    ] = "auto",
    normalise: Annotated[
        bool,
        Parameter(help="Take away a background plane and scale noise to 1, frame by frame."),
    ] = True,
    voltage: Annotated[float | None, Parameter(help="kV, where the file has none.")] = None,
    cs: Annotated[
        float | None, Parameter(help="Spherical aberration in mm, where the file has none.")
    ] = None,
    amplitude_contrast: Annotated[
        float | None, Parameter(help="Fraction, where the file has none.")
    ] = None,
    ctf: Annotated[
        Literal["file", "none"],
        Parameter(
            help="file: as the files have it. none: images are formed without one, as in dark "
            "field."
        ),
    ] = "file",
    ignore: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            show_default=False,
            help="Column of image formation that a dataset cannot hold, to leave out. May be "
            "repeated.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Say what would be done; write nothing."),
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Turn particle images of RELION, cryoSPARC or cryoDRGN into a dataset.

    Example:  temporem import run_data.star -o movies --movie-from rlnGroupName --size 64
    Example:  temporem import J5.cs J5_passthrough.cs -o movies --frames-per-movie 10
    """
    from temporem.io.files import require_new_directory

    require_new_directory(out, overwrite=overwrite)

    # The imports below load torch: refuse what needs no torch first.
    from temporem.importing.api import import_settings, require_output
    from temporem.importing.importer import plan_import, record, write_import

    require_output(out, files, overwrite=overwrite)
    settings = import_settings(
        datadir=datadir,
        movie_from=movie_from,
        frame_from=frame_from,
        frames_per_movie=frames_per_movie,
        stack_is_movie=stack_is_movie,
        size=size,
        pixel_size=pixel_size,
        input_pixel_size=input_pixel_size,
        invert=invert,
        normalise=normalise,
        voltage=voltage,
        cs=cs,
        amplitude_contrast=amplitude_contrast,
        ctf=ctf,
        ignore=ignore,
    )
    plan = plan_import(files, settings)
    if not json:
        print_facts(plan.facts())
        for note in plan.notes:
            say(note)
    if not dry_run:
        with progress_bar("Importing") as progress:
            write_import(plan, out, overwrite=overwrite, progress=progress)
    if json:
        print_json({"dataset": None if dry_run else str(out), **record(plan)})
        return
    if dry_run:
        say("Nothing was written (--dry-run).")
        return
    name = shlex.quote(str(out))
    poses = "" if plan.particles.poses is not None else " --poses estimate"
    say(f"Dataset: {out}  (look at {out / 'montage.png'})")
    say(f"Next:    temporem check {name}")
    method = "linear" if max(plan.movies.lengths) > 1 else "homogeneous"
    say(f"         temporem reconstruct {name} -o RUN --method {method}{poses}")
