"""``temporem demo``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from temporem.cli.console import print_table, progress_bar, say
from temporem.cli.evaluate import evaluate_with_progress
from temporem.cli.options import Overwrite, output
from temporem.cli.reconstruct import run_with_progress
from temporem.cli.report import write
from temporem.errors import TemporemError

PRESET = "toy"
METHODS = ("linear", "static", "tempor")
SETTINGS: dict[str, Any] = {"training": {"epochs": 40}}
"""The same for both networks, so that they see every frame equally often."""

_BASELINE = "static"  # the reference of the paper
_DATASET, _REPORT = "movies", "report.html"


def demo(
    *,
    out: Annotated[Path, output("Folder to write.")] = Path("temporem-demo"),
    overwrite: Overwrite = False,
) -> None:
    """Simulate a small molecule whose arm swings, reconstruct it, evaluate, write a report.

    Takes some minutes on two processor cores.

    Example:  temporem demo
    """
    from temporem.evaluation.storage import load_evaluation
    from temporem.report.tables import MOST_IMPORTANT, metrics_table
    from temporem.runs.config import build_config
    from temporem.simulation.presets import load_simulation_config
    from temporem.simulation.simulate import simulate

    started = time.monotonic()
    _make_folder(out, overwrite=overwrite)
    dataset = out / _DATASET
    with progress_bar("Simulating") as progress:
        config = load_simulation_config(PRESET)
        simulate(config, dataset, overwrite=overwrite, progress=progress)
    runs = [out / method for method in METHODS]
    for method, run in zip(METHODS, runs, strict=True):
        say(f"Reconstructing with {method} ...")
        settings = {**SETTINGS, "method": method, "dataset": str(dataset.resolve())}
        run_with_progress(build_config(settings, source="demo"), run, overwrite=overwrite)
        evaluate_with_progress(run)
    headline = write(
        runs, out / _REPORT, baseline=_BASELINE, title="temporem demo", overwrite=overwrite
    )
    evaluations = {method: load_evaluation(run) for method, run in zip(METHODS, runs, strict=True)}
    for sentence in headline:
        say(sentence)
    print_table(metrics_table(evaluations, most=MOST_IMPORTANT))
    say(f"\nDone in {time.monotonic() - started:.0f} s. Report: {out / _REPORT}")


def _make_folder(out: Path, *, overwrite: bool) -> None:
    """Make the folder, or make sure that what it holds is a demo and may be replaced."""
    if out.exists() and not overwrite:
        raise TemporemError(f"{out} exists", hint="choose another name or pass --overwrite")
    if out.is_file() or (out.is_dir() and not _holds_demo(out)):
        raise TemporemError(
            f"{out} holds other things than a demo, so it is not replaced",
            hint="choose another name",
        )
    if not out.resolve().parent.is_dir():
        raise TemporemError(
            f"cannot write {out}: the folder {out.parent} does not exist", hint="create it first"
        )
    out.mkdir(exist_ok=True)


def _holds_demo(out: Path) -> bool:
    return {path.name for path in out.iterdir()} <= {_DATASET, *METHODS, _REPORT}
