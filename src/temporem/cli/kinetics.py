"""``temporem kinetics``."""

from __future__ import annotations

import math
import shlex
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from temporem.cli.console import print_json, progress_bar, say
from temporem.cli.options import Json, Overwrite, RunFolder
from temporem.errors import TemporemError

_MOST_STATES = 4


def kinetics(
    run: RunFolder,
    /,
    *,
    along: Annotated[
        str,
        Parameter(
            help="Coordinate: path (a curve through the latents), z1 (a latent), PC1 (a principal "
            "component), or a direction such as 0.8,0.6."
        ),
    ] = "path",
    states: Annotated[
        str,
        Parameter(help="Number of basins, 1 to 4; auto takes the best of 1 to 3."),
    ] = "auto",
    basins: Annotated[
        str | None,
        Parameter(help="First centres of the basins along x, such as 0.2,0.8."),
    ] = None,
    samples: Annotated[
        int,
        Parameter(
            help="Times that the movies are resampled for the intervals.",
            validator=Number(gte=20, lte=10_000),
        ),
    ] = 100,
    seed: Annotated[int, Parameter(help="Seed of the samples.", validator=Number(gte=0))] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure energies, rates and diffusion along a latent, from the times of the frames.

    The run is one of --method linear. What smoothing shares between frames is taken out first.
    Every number has an interval by resampling movies, and sentences say what they cannot tell.
    Writes RUN/kinetics, which report shows.

    Example:  temporem kinetics 7bcq-linear --states 2
    """
    from temporem.kinetics.storage import require_free, write_kinetics

    count, centres = _states(states), _centres(basins)
    require_free(run, overwrite=overwrite)
    from temporem.kinetics.of_run import measure_kinetics
    from temporem.kinetics.words import sentences
    from temporem.report.kinetics_plot import kinetics_files
    from temporem.runs.run import load_run

    loaded = load_run(run)
    with progress_bar("Measuring kinetics") as bar:
        found = measure_kinetics(
            loaded,
            along=along,
            states=count,
            basins=centres,
            samples=samples,
            seed=seed,
            progress=bar,
        )
    folder = write_kinetics(loaded, found, kinetics_files(found.facts), overwrite=overwrite)
    if json:
        print_json(found.facts.model_dump())
        return
    for sentence in sentences(found.facts):
        say(sentence)
    say(f"Kinetics: {folder}")
    say(f"Next: temporem report {shlex.quote(str(run))}")


def _states(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if text.isdecimal() and 1 <= int(text) <= _MOST_STATES:
        return int(text)
    raise TemporemError(f"--states {text}", expected=f"auto, or a number from 1 to {_MOST_STATES}")


def _centres(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not 1 <= len(found) <= _MOST_STATES or not all(math.isfinite(x) for x in found):
        raise TemporemError(
            f"--basins {text}: not understood",
            expected=f"1 to {_MOST_STATES} numbers with commas between, such as 0.2,0.8",
        )
    return found
