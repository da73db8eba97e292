"""``temporem report``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from temporem.cli.console import progress_bar, say
from temporem.cli.options import Baseline, Overwrite, RunFolders, dataset_folder, output
from temporem.errors import TemporemError
from temporem.io.leftovers import adopt_leftovers
from temporem.version import __version__


def report(
    runs: RunFolders,
    /,
    *,
    out: Annotated[Path, output("HTML file to write.")] = Path("report.html"),
    dataset: Annotated[
        Path | None, dataset_folder("Dataset, if it has moved since the runs were made.")
    ] = None,
    baseline: Baseline = None,
    title: Annotated[
        str, Parameter(help="Heading of the page; names of runs and dataset if not given.")
    ] = "",
    overwrite: Overwrite = False,
) -> None:
    """Write one self-contained HTML page on runs of the same movies.

    It says what moves, how sure that is and what limits it. It shows what the runs know: volumes of
    six frames, half sets, latent paths, residuals. Runs that were evaluated are compared.

    Example:  temporem report static-run tempor-run -o report.html
    """
    require_free(out, overwrite=overwrite)
    with progress_bar("Drawing the report"):
        sentences = write(runs, out, baseline, dataset, title=title, overwrite=overwrite)
    for sentence in sentences:
        say(sentence)
    say(f"Report: {out}")
    say("Next: open it in a browser")


def require_free(out: Path, *, overwrite: bool) -> None:
    """Refuse a page that exists before the work begins."""
    adopt_leftovers(out)
    if out.exists() and not overwrite:
        raise TemporemError(f"{out} exists", hint="choose another name or pass --overwrite")


def write(
    runs: list[Path],
    out: Path,
    baseline: str | None = None,
    dataset: Path | None = None,
    *,
    title: str = "",
    overwrite: bool = False,
) -> list[str]:
    """Write the page; returns its main sentences."""
    from temporem.report.collect import collect
    from temporem.report.page import write_report

    movies, reported = collect(runs, dataset)
    footer = f"temporem {__version__}, {date.today().isoformat()}"
    return write_report(
        out,
        movies,
        reported,
        baseline=baseline,
        title=title,
        footer=footer,
        overwrite=overwrite,
    )
