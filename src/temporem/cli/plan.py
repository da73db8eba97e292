"""``temporem plan``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from temporem.cli.console import print_json, print_table, progress_bar, say
from temporem.cli.options import Json, Settings

if TYPE_CHECKING:
    from temporem.planning.plan import Plan
    from temporem.report.tables import Table


def plan(
    config: Annotated[
        str, Parameter(help="Preset or YAML file, as for simulate: molecule, motion, microscope.")
    ],
    /,
    *,
    structures: Annotated[
        Path | None, Parameter(help="Folder that is searched first for structures.")
    ] = None,
    seed: Annotated[
        int, Parameter(help="Seed of the errors that are drawn.", validator=Number(gte=0))
    ] = 0,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Predict how many movies, frames and how much dose it takes to see a motion.

    Says which resolution a linear model would reach where the molecule moves, and how well it would
    know the state of a frame, with a table for half and twice the movies and the signal-to-noise
    ratio. Nothing is simulated and nothing is trained.

    Example:  temporem plan 7bcq-free --set movies=200 --set snr=0.05
    """
    from temporem.simulation.presets import load_simulation_config
    from temporem.structures.sources import locate_structure

    simulated = load_simulation_config(config, settings or [])
    for name in simulated.files:
        locate_structure(name, structures)
    from temporem.planning.plan import plan_of

    with progress_bar("Planning") as bar:
        found = plan_of(simulated, config, structures=structures, seed=seed, progress=bar)
    if json:
        print_json(found.document())
        return
    for sentence in found.sentences():
        say(sentence)
    print_table(_table(found))
    say(f"Next: temporem simulate {shlex.quote(str(config))} -o movies, to try it")


def _table(found: Plan) -> Table:
    """Resolution and error by movies and signal-to-noise ratio."""
    from temporem.evaluation.words import parameter_unit
    from temporem.report.tables import Cell, Row, Table

    unit = parameter_unit(found.here.parameter)
    rows = []
    for movies in found.movies:
        cells = []
        for snr in found.snrs:
            one = found.table[movies, snr]
            text = f"{one.moving_angstrom:.1f} Å, {one.latent_error:.2g}{unit}"
            cells.append(Cell(text if one.seen else "not seen"))
        rows.append(Row(f"{movies} movies", tuple(cells)))
    return Table(tuple(f"SNR {snr:.3g}" for snr in found.snrs), tuple(rows))
