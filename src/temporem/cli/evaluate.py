"""``temporem evaluate`` and ``temporem compare``."""

from __future__ import annotations

import json as json_format
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from temporem.cli.console import print_facts, print_json, print_table, progress_bar, say
from temporem.cli.findings import say_order, warn_of_symmetry
from temporem.cli.options import (
    All,
    Baseline,
    Json,
    Overwrite,
    RunFolders,
    dataset_folder,
    output,
    refuse_missing,
)
from temporem.errors import TemporemError

_is_reconstruction = refuse_missing(
    Path.is_dir,
    "is not a folder",
    expected="a run folder with config.yaml, or a folder of MRC volumes",
    hint="make a run with temporem reconstruct",
)


def evaluate(
    reconstruction: Annotated[
        Path,
        Parameter(
            help="Run folder, or a folder of MRC volumes from any program: frame_<row>.mrc, or "
            "one file for each frame.",
            validator=_is_reconstruction,
        ),
    ],
    /,
    *,
    truth: Annotated[
        Path | None, dataset_folder("Simulated dataset with the truth; by default the run's.")
    ] = None,
    out: Annotated[
        Path | None, output("Folder for the evaluation; by default the volumes' folder.")
    ] = None,
    every: Annotated[
        int,
        Parameter(
            help="Evaluate only every N-th frame of each movie, to save time.",
            validator=Number(gte=1, lt=2**31),
        ),
    ] = 1,
    align: Annotated[
        Literal["all", "states"],
        Parameter(
            help="How to align poses that the run found: all frames together, or each true state "
            "on its own."
        ),
    ] = "all",
    all_rows: All = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Compare volumes with the true volumes of a simulated dataset.

    Writes evaluation.json and evaluation.npz beside the volumes.

    Example:  temporem evaluate 7bcq-run --every 2
    """
    path = evaluate_with_progress(
        reconstruction, truth, out=out, every=every, align=align, overwrite=overwrite
    )
    if json:
        print_json(json_format.loads(path.read_text(encoding="utf-8")))
        return
    from temporem.evaluation.metrics.counting import counting_in_words
    from temporem.evaluation.storage import load_evaluation
    from temporem.report.findings import judge
    from temporem.report.tables import MOST_IMPORTANT, metrics_table
    from temporem.runs.run import is_run

    evaluations = {reconstruction.resolve().name: load_evaluation(path.parent)}
    found = judge(evaluations)
    _say_all(found.headline)
    print_table(metrics_table(evaluations, most=None if all_rows else MOST_IMPORTANT))
    _say_all([text for item in evaluations.values() for text in counting_in_words(item)])
    _say_all([f"Caution: {text}" for text in found.warnings])
    reported = ""
    if is_run(reconstruction):
        warn_of_symmetry(reconstruction)
        say_order(reconstruction)
        reported = f", or temporem report {shlex.quote(str(reconstruction))}"
    say(f"Evaluation: {path}" + ("" if all_rows else "  (--all shows all numbers)"))
    say(f"Next: temporem compare OTHER {shlex.quote(str(path.parent))}{reported}")


def compare(
    runs: RunFolders,
    /,
    *,
    baseline: Baseline = None,
    all_rows: All = False,
    json: Json = False,
) -> None:
    """Compare runs with a baseline: evaluated ones frame by frame, others on unseen movies.

    Runs that were not evaluated against a truth are compared on held-out movies: those of
    --set data.held_out_fraction=0.2 in reconstruct, or those of half sets (temporem validate).

    Example:  temporem compare static-run tempor-run
    """
    from temporem.evaluation.compare import compare as compare_evaluations
    from temporem.evaluation.storage import SUMMARY_NAME, load_evaluation
    from temporem.report.collect import run_names
    from temporem.report.findings import judge
    from temporem.report.tables import MOST_IMPORTANT, comparison_table, metrics_table

    if len(runs) < 2:
        raise TemporemError("compare got one run", expected="two or more run folders")
    names = run_names(runs)
    if not any((run / SUMMARY_NAME).is_file() for run in runs):
        _compare_predictions(dict(zip(names, runs, strict=True)), baseline, json=json)
        return
    evaluations = {name: load_evaluation(run) for name, run in zip(names, runs, strict=True)}
    found = judge(evaluations, baseline)
    reference = found.baseline or names[0]
    for name in evaluations.keys() - found.comparisons.keys() - {reference}:
        compare_evaluations(
            evaluations[reference], evaluations[name]
        )  # the sentences say why the runs are not comparable
    if json:
        results = {name: comparison.summary() for name, comparison in found.comparisons.items()}
        print_json({"baseline": reference, "comparisons": results})
        return
    _say_all(found.headline)
    print_table(metrics_table(evaluations, most=None if all_rows else MOST_IMPORTANT))
    if all_rows:
        say("")
        print_table(comparison_table(found.comparisons), f"Gain over {reference}")
    else:
        say("(--all shows all numbers, and the gains paired by frame)")
    _say_all([f"Caution: {text}" for text in found.warnings])
    say(f"Next: temporem report {shlex.join(map(str, runs))} -o report.html")


def _compare_predictions(runs: Mapping[str, Path], baseline: str | None, *, json: bool) -> None:
    """Compare runs on movies that they were not trained on."""
    from temporem.validation.compare import compare_predictions

    with progress_bar("Scoring unseen movies", hidden=json) as progress:
        found = compare_predictions(runs, baseline, progress)
    if json:
        print_json(found.summary())
        return
    _say_all(found.sentences())
    print_facts(found.rows())
    say(f"Next: temporem report {shlex.join(map(str, runs.values()))} -o report.html")


def evaluate_with_progress(
    reconstruction: Path,
    truth: Path | None = None,
    *,
    out: Path | None = None,
    every: int = 1,
    align: Literal["all", "states"] = "all",
    overwrite: bool = False,
) -> Path:
    """Evaluate a run or a folder of volumes, and save the result.

    Returns:
        Path of ``evaluation.json``.
    """
    from temporem.evaluation.api import evaluate as measure
    from temporem.evaluation.storage import SUMMARY_NAME, save_evaluation

    folder = out or reconstruction
    if (folder / SUMMARY_NAME).exists() and not overwrite:  # said before the work, not after it
        path = folder / SUMMARY_NAME
        raise TemporemError(f"{path} exists", hint="pass --overwrite to replace it")
    with progress_bar(f"Evaluating {reconstruction.name}") as progress:
        evaluation = measure(reconstruction, truth, every=every, align=align, progress=progress)
    folder.mkdir(exist_ok=True)
    return save_evaluation(evaluation, folder, overwrite=overwrite)


def _say_all(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        say(sentence)
