"""``temporem simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from temporem.cli.console import print_facts, print_json, progress_bar, say
from temporem.cli.options import Json, Overwrite, Settings, output


def simulate(
    config: Annotated[str, Parameter(help="Preset (toy, 7bcq, adk) or YAML file.")],
    /,
    *,
    out: Annotated[Path, output("Dataset folder to write.")],
    structures: Annotated[
        Path | None, Parameter(help="Folder to look for structure files in first.")
    ] = None,
    seed: Annotated[int | None, Parameter(help="As --set seed=N.")] = None,
    set_: Settings = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Simulate movies of a molecule that moves, with their truth.

    Example:  temporem simulate 7bcq -o 7bcq-movies --set snr=0.3
    """
    from temporem.data.dataset import STAR_NAME
    from temporem.data.outputs import require_replaceable
    from temporem.data.presets import load_simulation_config
    from temporem.data.simulation import simulate as run_simulation

    overrides = [*(set_ or []), *([] if seed is None else [f"seed={seed}"])]
    settings = load_simulation_config(config, overrides)
    if overwrite:
        require_replaceable(out, "a dataset", holds=STAR_NAME)
    with progress_bar("Simulating") as progress:
        summary = run_simulation(
            settings, out, structures_dir=structures, overwrite=overwrite, progress=progress
        )
    if json:
        print_json({"dataset": str(out), **summary})
        return
    print_facts({name.replace("_", " "): f"{value:g}" for name, value in summary.items()})
    say(f"Dataset: {out}")
