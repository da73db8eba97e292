"""``temporem evaluate`` and ``temporem compare``."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from temporem.cli.console import print_json, print_table, progress_bar, say
from temporem.cli.findings import warn_of_symmetry
from temporem.cli.options import Json, Overwrite, RunFolder, RunFolders, dataset_folder
from temporem.errors import TemporemError


def evaluate(
    run: RunFolder,
    /,
    *,
    truth: Annotated[
        Path | None, dataset_folder("Dataset with the truth; by default the run's own.")
    ] = None,
    every: Annotated[
        int,
        Parameter(
            help="Evaluate every N-th frame of each movie only, which is faster.",
            validator=Number(gte=1, lt=2**31),
        ),
    ] = 1,
    align: Annotated[
        Literal["all", "states"],
        Parameter(
            help="Of poses that were found: align all frames as one, or every true state by itself."
        ),
    ] = "all",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure a run against the true volumes of a simulated dataset.

    Writes evaluation.json and evaluation.npz into the run.

    Example:  temporem evaluate 7bcq-run --every 2
    """
    path = evaluate_with_progress(run, truth, every=every, align=align, overwrite=overwrite)
    if json:
        print_json(json_format.loads(path.read_text(encoding="utf-8")))
        return
    from temporem.evaluation.storage import load_evaluation
    from temporem.report.tables import metrics_table

    print_table(metrics_table({run.resolve().name: load_evaluation(run)}))
    warn_of_symmetry(run)
    say(f"Evaluation: {path}")


def compare(runs: RunFolders, /, *, json: Json = False) -> None:
    """Compare evaluated runs with the first of them, frame by frame.

    Example:  temporem compare static-run tempor-run
    """
    from temporem.evaluation.compare import compare as compare_evaluations
    from temporem.evaluation.storage import load_evaluation
    from temporem.report.collect import run_names
    from temporem.report.tables import comparison_table, metrics_table

    if len(runs) < 2:
        raise TemporemError("one run cannot be compared", expected="two or more RUN folders")
    names = run_names(runs)
    evaluations = {name: load_evaluation(run) for name, run in zip(names, runs, strict=True)}
    baseline, *others = names
    comparisons = {
        name: compare_evaluations(evaluations[baseline], evaluations[name]) for name in others
    }
    if json:
        results = {name: comparison.summary() for name, comparison in comparisons.items()}
        print_json({"baseline": baseline, "comparisons": results})
        return
    print_table(metrics_table(evaluations))
    for name, comparison in comparisons.items():
        say("")
        print_table(comparison_table(comparison), f"Gain of {name} over {baseline}")


def evaluate_with_progress(
    run: Path,
    truth: Path | None = None,
    *,
    every: int = 1,
    align: Literal["all", "states"] = "all",
    overwrite: bool = False,
) -> Path:
    """Evaluate a run and save the result; returns the path of ``evaluation.json``."""
    from temporem.evaluation.run_evaluation import evaluate_run
    from temporem.evaluation.storage import SUMMARY_NAME, save_evaluation
    from temporem.runs.run import load_run

    loaded = load_run(run)
    if (run / SUMMARY_NAME).exists() and not overwrite:  # said before the work, not after it
        raise TemporemError(f"{run / SUMMARY_NAME} exists", hint="pass --overwrite to replace it")
    dataset = truth or Path(loaded.config.dataset)
    if truth is None and not dataset.is_dir():
        raise TemporemError(
            f"{dataset}, the dataset of {run}, is not there", hint="name it with --truth"
        )
    with progress_bar(f"Evaluating {run.name}") as progress:
        evaluation = evaluate_run(loaded, dataset, every=every, align=align, progress=progress)
    return save_evaluation(evaluation, run, overwrite=overwrite)
