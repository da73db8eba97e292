"""``temporem demo``."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from temporem.cli import report
from temporem.cli.console import print_table, progress_bar, say
from temporem.cli.options import Overwrite, output
from temporem.errors import TemporemError

if TYPE_CHECKING:
    from temporem.progress import Progress

PRESET = "toy-free"
SIMULATION = {"box": 40, "pixel_size_angstrom": 3.2, "b_factor_angstrom2": 300}
"""Changes of the preset, so that blur ends the resolution and not the pixels."""

SHARES = {"linear": 0.2, "static": 0.35, "tempor": 0.38}
"""Methods, and their parts of the time of a demo; the rest goes to simulation and report."""

METHODS = tuple(SHARES)
SETTINGS: dict[str, Any] = {"training": {"epochs": 28}}
"""Equal for both networks, so that they see every frame equally often."""

_BASELINE = "static"
_DATASET, _REPORT = "movies", "report.html"
_SIMULATION, _EVALUATION = 0.02, 0.1  # parts of the time: of a demo, and of a method


def demo(
    *,
    out: Annotated[Path, output("Folder to write.")] = Path("temporem-demo"),
    overwrite: Overwrite = False,
) -> None:
    """Simulate a small molecule whose arm swings, reconstruct and evaluate it, write a report.

    Takes some minutes on two processor cores.

    Example:  temporem demo
    """
    started = time.monotonic()
    _make_folder(out, overwrite=overwrite)
    try:
        with progress_bar("Demo") as progress:
            sentences = _run(out, progress, overwrite=overwrite)
    except KeyboardInterrupt:
        command = shlex.join(["temporem", "demo", "-o", str(out), "--overwrite"])
        raise KeyboardInterrupt(f"stopped; start again with: {command}") from None
    _print(sentences, out)
    say(f"\nDone in {time.monotonic() - started:.0f} s. Report: {out / _REPORT}")
    say("Next: open the report in a browser, or write volumes for ChimeraX with")
    run = shlex.quote(str(out / "tempor"))
    say(f"  temporem export {run} --movie movie_0001 --format chimerax -o volumes")


def _run(out: Path, progress: Progress, *, overwrite: bool) -> list[str]:
    """Simulate, reconstruct, evaluate and write the report."""
    from temporem.evaluation.api import evaluate
    from temporem.evaluation.storage import save_evaluation
    from temporem.runs.config import build_config
    from temporem.runs.pipeline import reconstruct
    from temporem.simulation.presets import load_simulation_config
    from temporem.simulation.simulate import simulate

    dataset, runs = out / _DATASET, [out / method for method in METHODS]
    config, place = load_simulation_config(PRESET, changes=SIMULATION), _SIMULATION
    simulate(config, dataset, overwrite=overwrite, progress=progress.part(0, place, "simulating"))
    for method, run in zip(METHODS, runs, strict=True):
        end = place + SHARES[method]
        middle = end - _EVALUATION * SHARES[method]
        settings = {**SETTINGS, "method": method, "dataset": str(dataset.resolve())}
        reconstruct(
            build_config(settings, source="demo"),
            run,
            overwrite=overwrite,
            progress=progress.part(place, middle),
        )
        told = progress.part(middle, end, f"evaluating {method}")
        save_evaluation(evaluate(run, dataset, progress=told), run)
        place = end
    progress(place, 1, "drawing the report")
    title = "temporem demo"
    return report.write(runs, out / _REPORT, _BASELINE, title=title, overwrite=overwrite)


def _print(sentences: list[str], out: Path) -> None:
    from temporem.evaluation.storage import load_evaluation
    from temporem.report.tables import MOST_IMPORTANT, metrics_table

    for sentence in sentences:
        say(sentence)
    say("")
    evaluations = {method: load_evaluation(out / method) for method in METHODS}
    print_table(metrics_table(evaluations, most=MOST_IMPORTANT))


def _make_folder(out: Path, *, overwrite: bool) -> None:
    """Make the folder, or make sure that it holds a demo that may be replaced."""
    if out.exists() and not overwrite:
        raise TemporemError(f"{out} exists", hint="choose another name or pass --overwrite")
    if out.is_file() or (out.is_dir() and not _holds_demo(out)):
        raise TemporemError(
            f"{out} is not a demo folder, so --overwrite does not replace it",
            hint="choose another name",
        )
    if not out.resolve().parent.is_dir():
        raise TemporemError(
            f"cannot write {out}: the folder {out.parent} does not exist", hint="create it first"
        )
    out.mkdir(exist_ok=True)


def _holds_demo(out: Path) -> bool:
    return {path.name for path in out.iterdir()} <= {_DATASET, *METHODS, _REPORT}
