"""``temporem validate``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from temporem.cli.console import print_json, progress_bar, say
from temporem.cli.options import Json, Overwrite, RunFolder, dataset_folder
from temporem.errors import TemporemError


def validate(
    run: RunFolder,
    /,
    *,
    half_sets: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Train two more models, each of half of the movies, and compare their volumes. "
            "It takes about as long as the run did.",
        ),
    ] = False,
    null_tests: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Ask if a molecule that does not move would look like this: simulated still ones, "
            "errors of poses, shuffled frames, reversed movies. Two minutes for 1,000 frames.",
        ),
    ] = False,
    null_sets: Annotated[
        int,
        Parameter(
            help="Simulated datasets of each null test; p-values are at least 1 / (N + 1).",
            validator=Number(gte=19, lte=9999),
        ),
    ] = 20,
    dataset: Annotated[
        Path | None, dataset_folder("Dataset, if it has moved since the run was made.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Test a run without a truth: held-out movies, half sets, and null tests.

    Held-out movies are those of --set data.held_out_fraction=0.2 in reconstruct. Ctrl-C stops
    half sets after a checkpoint, null tests after a simulated set; the same command goes on.

    Example:  temporem validate 7bcq-run --half-sets
    """
    from temporem.runs.run import load_run
    from temporem.validation.checks import (
        HALF_SETS,
        HELD_OUT,
        NULL_TESTS,
        check_half_sets,
        check_held_out,
        check_null_tests,
        dataset_of,
    )
    from temporem.validation.storage import require_free

    found = load_run(run)
    asked = [name for name, wanted in ((HALF_SETS, half_sets), (NULL_TESTS, null_tests)) if wanted]
    held_out = bool(found.held_out.any())
    if not (held_out or asked):
        raise TemporemError(
            f"{run} held out no movies, so there is nothing to test it with",
            expected="--half-sets or --null-tests, or a run made with "
            "--set data.held_out_fraction=0.2",
        )
    if not overwrite:
        for test in asked or [HELD_OUT]:
            require_free(run, test)
    movies = dataset_of(found, dataset)
    results: dict[str, Any] = {}
    texts: list[str] = []
    try:
        with progress_bar(f"Validating {run.name}") as progress:
            begin = 0.1 if held_out and asked else float(held_out)
            between = begin + (1 - begin) * (len(asked) > 1) / 2 if half_sets else begin
            if held_out:
                scores = check_held_out(found, movies, progress.part(0, begin))
                results[HELD_OUT] = scores.model_dump()
                texts.append(scores.sentence("Held-out movies"))
            if half_sets:
                end = between if null_tests else 1
                halves = check_half_sets(found, movies, progress.part(begin, end))
                results[HALF_SETS] = halves.model_dump()
                texts += halves.sentences()
            if null_tests:
                null = check_null_tests(found, movies, null_sets, progress.part(between, 1))
                results[NULL_TESTS] = {**null.model_dump(), "finding": null.finding}
                texts += null.sentences()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on") from None
    if json:
        print_json(results)
        return
    for text in texts:
        say(text)
    say(f"Validation: {run / 'validation'}")
    name = shlex.quote(str(run))
    say(f"Next: temporem compare OTHER {name}, or temporem report {name}")
