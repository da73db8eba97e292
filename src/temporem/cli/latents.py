"""``temporem latents``."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from temporem.cli.console import print_json, print_table, progress_bar, say
from temporem.cli.options import DatasetFolder, Json, Overwrite, output, refuse_missing
from temporem.errors import TemporemError

if TYPE_CHECKING:
    from temporem.frames.dataset import Dataset

_is_there = refuse_missing(
    Path.exists,
    "does not exist",
    expected="a file of latents, or a run folder",
    hint="docs/validate.md lists the files of cryoDRGN, RECOVAR and cryoSPARC that are read",
)


def latents(
    dataset: DatasetFolder,
    files: Annotated[
        list[Path],
        Parameter(
            help="Latents of any program: .pkl, .npy, .npz, .cs, .star, .csv, or a run folder.",
            negative="",
            show_default=False,
            validator=_is_there,
        ),
    ],
    /,
    *,
    rows: Annotated[
        Literal["auto", "dataset", "source"],
        Parameter(
            help="Order of the rows of files that name no particles: that of the dataset, or of "
            "the file that it was imported from. auto: whichever is possible."
        ),
    ] = "auto",
    out: Annotated[
        Path | None, output("Folder for numbers and half maps; by default none.")
    ] = None,
    invert: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Molecules are dark in the images."),
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Compare latents of any programs on one dataset, without a truth.

    Each half of the movies gives volumes at the latents, by kernel regression. They are compared
    by FSC, and by how much likelier they make the movies of the other half. Latents that follow
    noise gain nothing there.

    What is found of a run stays in its folder, where report and view show it.

    Example:  temporem latents movies cryodrgn/z.49.pkl recovar/model/zdim_4/latent_coords.npy
    """
    from temporem.frames.readers import read_dataset
    from temporem.frames.settings import DataSettings
    from temporem.io.files import fresh_directory
    from temporem.io.outputs import require_replaceable
    from temporem.report.tables import Cell, Row, Table
    from temporem.runs import names as run_files
    from temporem.runs.run import is_run
    from temporem.validation.checks import LATENTS
    from temporem.validation.foreign_latents import latents_of_frames
    from temporem.validation.latents import (
        RESULT,
        compare_latents,
        write_comparison,
    )
    from temporem.validation.storage import require_free, save_result

    if out is not None:
        if out.exists() and not overwrite:
            raise TemporemError(f"{out} exists", hint="pass --overwrite to replace it")
        require_replaceable(out, "a comparison of latents", holds=RESULT, inputs=[dataset, *files])
    data = read_dataset(dataset)
    names = _names(files)
    runs = [path for path in files if is_run(path)]
    keeps, others = _made_from(data, runs)
    for run in [] if overwrite else keeps:
        require_free(run, LATENTS)
    given = {
        name: latents_of_frames(data, path / run_files.FRAMES if is_run(path) else path, rows)
        for name, path in zip(names, files, strict=True)
    }
    settings = DataSettings(invert=invert)
    with progress_bar("Comparing latents", hidden=json) as progress:
        found, parts = compare_latents(data, given, settings=settings, progress=progress)
    if out is not None:
        with fresh_directory(out, overwrite=overwrite) as folder:
            write_comparison(folder, found, parts, data.pixel_size_angstrom)
    for run in keeps:
        save_result(run, LATENTS, found)
    if json:
        print_json(found.model_dump())
        return
    cells = found.rows().items()
    print_table(
        Table(names, [Row(label, [Cell(text) for text in texts]) for label, texts in cells])
    )
    for text in found.sentences():
        say(text)
    if out is not None:
        say(f"Latents: {out / RESULT}, and half maps beside it")
    for run in others:
        say(f"Not kept in {run}, which was made from another dataset.")
    if keeps:
        say(f"Next: temporem report {shlex.join(map(str, keeps))}")


def _made_from(data: Dataset, runs: list[Path]) -> tuple[list[Path], list[Path]]:
    """Part runs into those that were made from this dataset and others."""
    from temporem.evaluation.api import require_made_from
    from temporem.runs.run import load_run

    own: list[Path] = []
    for path in runs:
        run = load_run(path)
        with suppress(TemporemError):
            require_made_from(run, data)
            own.append(path)
    return own, [path for path in runs if path not in own]


def _names(files: list[Path]) -> list[str]:
    """Short names of files, all different."""
    short = [path.stem if path.is_file() else path.resolve().name for path in files]
    if len(set(short)) == len(short):
        return short
    long = [str(path) for path in files]
    if len(set(long)) < len(long):
        raise TemporemError("one file is named twice", expected="different files of latents")
    return long
