"""``temporem import``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from temporem.cli.console import print_facts, print_json, progress_bar, say
from temporem.cli.file_options import FileOptions
from temporem.cli.options import Json, Overwrite, output, refuse_missing

_DEFAULTS = FileOptions()


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
    options: FileOptions = _DEFAULTS,
    invert: Annotated[
        Literal["auto", "yes", "no"],
        Parameter(help="Flip the sign, so that the molecule is bright; auto finds out."),
    ] = "auto",
    ctf: Annotated[
        Literal["file", "none"],
        Parameter(
            help="file: as the files have it. none: images are formed without one, as in dark "
            "field."
        ),
    ] = "file",
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
    from temporem.importing.api import require_output
    from temporem.importing.importer import plan_import, record, write_import

    require_output(out, files, overwrite=overwrite)
    plan = plan_import(files, options.settings(invert, ctf))
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
