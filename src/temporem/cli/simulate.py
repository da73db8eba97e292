"""``temporem simulate``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from temporem.cli.console import print_facts, print_json, progress_bar, say
from temporem.cli.options import Json, Overwrite, Settings, output
from temporem.errors import TemporemError


def simulate(
    config: Annotated[
        str,
        Parameter(
            help="Preset or YAML file. Presets whose frame number says nothing about the state: "
            "toy-free, 7bcq-free, cas9-free, adk-free, and realistic, which is 7bcq-free with the "
            "defects of real movies. Synchronised ones: toy, 7bcq, cas9, "
            "cas9-crystal, cas9-md, adk, trajectory."
        ),
    ],
    /,
    *,
    out: Annotated[Path, output("Dataset folder to write.")],
    structures: Annotated[
        Path | None, Parameter(help="Folder to search first for structure files.")
    ] = None,
    topology: Annotated[
        Path | None, Parameter(help="Topology of a trajectory; short for --set structure=FILE.")
    ] = None,
    trajectory: Annotated[
        Path | None, Parameter(help="Its snapshots; short for --set motion.coordinates=FILE.")
    ] = None,
    states: Annotated[
        int | None,
        Parameter(
            help="States that every movie passes through, one a frame; short for "
            "--set frames_per_movie=N."
        ),
    ] = None,
    seed: Annotated[
        int | None, Parameter(help="Seed of all random numbers; short for --set seed=N.")
    ] = None,
    field: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Movies of the whole field of view, with many particles, for temporem extract; "
            "--set field.width=512 and so on.",
        ),
    ] = False,
    set_: Settings = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Simulate movies of a molecule that moves, and keep the true volumes and poses.

    Example:  temporem simulate 7bcq-free -o 7bcq-movies --set snr=0.3
    Example:  temporem simulate toy-free -o field --field --set movies=30
    Example:  temporem simulate trajectory --topology a.psf --trajectory a.dcd --states 19 -o movies
    """
    from temporem.io.files import require_new_directory
    from temporem.simulation.config import with_field
    from temporem.simulation.presets import load_simulation_config
    from temporem.structures.sources import locate_structure

    given = {
        "structure": _quoted(topology),
        "motion.coordinates": _quoted(trajectory),
        "frames_per_movie": states,
        "seed": seed,
    }
    short = [f"{key}={value}" for key, value in given.items() if value is not None]
    overrides = [*(set_ or []), *short]
    settings = load_simulation_config(config, overrides)
    if field:
        settings = with_field(settings)
    elif settings.field is not None:
        raise TemporemError("the section field is set without --field", hint="pass --field")
    require_new_directory(out, overwrite=overwrite)
    for name in settings.files:
        locate_structure(name, structures)

    # The imports below load torch: refuse what needs no torch first.
    from temporem.simulation.field import simulate_field
    from temporem.simulation.simulate import simulate as run_simulation
    from temporem.simulation.truth import require_simulated

    if overwrite:
        # A preset is not a file, and an output may be named after it.
        require_simulated(out, [config] if Path(config).is_file() else [])
    with progress_bar("Simulating") as progress:
        run = simulate_field if field else run_simulation
        summary = run(
            settings, out, structures_dir=structures, overwrite=overwrite, progress=progress
        )
    if json:
        print_json({"dataset": str(out), **summary})
        return
    print_facts({name.replace("_", " "): f"{value:g}" for name, value in summary.items()})
    if field:
        movies, diameter = shlex.quote(f"{out}/") + "field_*.mrc", "DIAMETER"
        say(f"Fields:  {out}")
        say(f"Next:    temporem extract {movies} -o DATASET --diameter {diameter}")
        return
    if summary["residues_missing"]:
        say(
            f"Gaps: {summary['residues_missing']} residues inside chains lack coordinates, so no "
            "image shows them."
        )
    say(f"Dataset: {out}")
    say(f"Next:    temporem reconstruct {shlex.quote(str(out))} -o RUN --method linear")


def _quoted(path: Path | None) -> str | None:
    """Write a path as YAML, whatever is in its name."""
    return None if path is None else "'" + str(path).replace("'", "''") + "'"
