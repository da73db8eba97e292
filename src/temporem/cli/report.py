"""``temporem report``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from temporem.cli.console import progress_bar, say
from temporem.cli.options import Baseline, Overwrite, RunFolders, dataset_folder, output
from temporem.errors import TemporemError
from temporem.io.files import require_new_file
from temporem.io.leftovers import adopt_leftovers
from temporem.version import __version__

_PANELS, _MOVIES = 3, 2  # of the player
_EDGES = (48, 32, 24)  # of its volumes: surfaces of noise, or of long movies, need smaller ones


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
    adopt_leftovers(out)
    require_new_file(out, overwrite=overwrite)
    with progress_bar("Drawing the report"):
        sentences = write(runs, out, baseline, dataset, title=title, overwrite=overwrite)
    for sentence in sentences:
        say(sentence)
    say(f"Report: {out}")
    say("Next: open it in a browser")


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
    from temporem.report.collect import collect, run_names
    from temporem.report.page import write_report
    from temporem.report.verdict import leading_run

    movies, reported = collect(runs, dataset)
    lead = leading_run(reported).name
    names = dict(zip(runs, run_names(runs), strict=True))
    runs = sorted(runs, key=lambda run: names[run] != lead)  # so that the player has it
    player, reason = _player(runs, dataset, known=movies.truth is not None)
    footer = f"temporem {__version__}, {date.today().isoformat()}"
    said = write_report(
        out,
        movies,
        reported,
        baseline=baseline,
        title=title,
        footer=footer,
        player=player,
        overwrite=overwrite,
    )
    return [*said, reason] if reason else said


def _player(runs: list[Path], dataset: Path | None, *, known: bool) -> tuple[str, str]:
    """HTML of the player of some movies, beside the truth if there is one; else the reason."""
    from temporem.runs.run import load_run_config
    from temporem.viewing.embed import NoRoom, player_html
    from temporem.viewing.gallery import Gallery
    from temporem.viewing.sources import open_sources

    movies = dataset or Path(load_run_config(runs[0]).dataset)
    shown = [*([movies] if known else []), *runs][:_PANELS]
    reason = ""
    for edge in _EDGES:
        try:
            gallery = Gallery(open_sources(shown, most_voxels=edge))
            chosen = range(min(_MOVIES, len(gallery.panels[0].shown.movies)))
            return player_html(gallery, list(chosen)), ""
        except TemporemError as error:
            reason = f"The page has no player: {error}"
            if not isinstance(error, NoRoom):
                break
    return "", reason
