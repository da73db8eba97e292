"""``temporem report``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from temporem import __version__
from temporem.cli.console import progress_bar, say
from temporem.cli.options import Baseline, Overwrite, RunFolders, dataset_folder, output
from temporem.errors import TemporemError
from temporem.io.leftovers import adopt_leftovers


def report(
    runs: RunFolders,
    /,
    *,
    out: Annotated[Path, output("HTML file to write.")] = Path("report.html"),
    dataset: Annotated[
        Path | None, dataset_folder("Dataset, if it is no longer where the runs say.")
    ] = None,
    baseline: Baseline = None,
    title: Annotated[str, Parameter(help="Heading of the page.")] = "temporem report",
    overwrite: Overwrite = False,
) -> None:
    """Show runs over the same movies on one page that needs nothing else.

    Runs that were evaluated are compared with the first of them. Pictures show six frames of one
    movie.

    Example:  temporem report static-run tempor-run -o report.html
    """
    write(runs, out, dataset=dataset, baseline=baseline, title=title, overwrite=overwrite)
    say(f"Report: {out}")


def write(
    runs: list[Path],
    out: Path,
    *,
    dataset: Path | None = None,
    baseline: str | None = None,
    title: str = "temporem report",
    overwrite: bool = False,
) -> list[str]:
    """Write the page; returns its headline."""
    from temporem.report.collect import collect
    from temporem.report.findings import find
    from temporem.report.page import write_report

    adopt_leftovers(out)
    if out.exists() and not overwrite:  # said before the work, not after it
        raise TemporemError(f"{out} exists", hint="choose another name or pass --overwrite")
    with progress_bar("Drawing the report"):
        movies, reported = collect(runs, dataset)
        footer = f"temporem {__version__}, {date.today().isoformat()}"
        write_report(
            out,
            movies,
            reported,
            title=title,
            footer=footer,
            baseline=baseline,
            overwrite=overwrite,
        )
    return list(find(reported, baseline).headline)
