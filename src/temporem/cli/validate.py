"""``temporem validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

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
    dataset: Annotated[
        Path | None, dataset_folder("Dataset, if it has moved since the run was made.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Test a run without a truth: held-out movies, and half sets.

    Held-out movies are those of --set data.held_out_fraction=0.2 in reconstruct. Ctrl-C stops
    half sets after a checkpoint; the same command goes on.

    Example:  temporem validate 7bcq-run --half-sets
    """
    from temporem.runs.run import load_run
    from temporem.validation.checks import (
        HALF_SETS,
        HELD_OUT,
        check_half_sets,
        check_held_out,
        dataset_of,
    )
    from temporem.validation.storage import require_free

    found = load_run(run)
    held_out = bool(found.held_out.any())
    if not (held_out or half_sets):
        raise TemporemError(
            f"{run} held out no movies, so there is nothing to test it with",
            expected="a run made with --set data.held_out_fraction=0.2, or --half-sets",
        )
    if not overwrite:
        for test, asked in ((HELD_OUT, held_out and not half_sets), (HALF_SETS, half_sets)):
            if asked:
                require_free(run, test)
    movies = dataset_of(found, dataset)
    results = {}
    texts: list[str] = []
    try:
        with progress_bar(f"Validating {run.name}") as progress:
            if held_out:
                part = progress.part(0, 0.1 if half_sets else 1)
                scores = check_held_out(found, movies, part)
                results[HELD_OUT] = scores.model_dump()
                texts.append(scores.sentence("Held-out movies"))
            if half_sets:
                halves = check_half_sets(found, movies, progress.part(0.1 * held_out, 1))
                results[HALF_SETS] = halves.model_dump()
                texts += halves.sentences()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on") from None
    if json:
        print_json(results)
        return
    for text in texts:
        say(text)
    say(f"Validation: {run / 'validation'}")
    say(f"Next: temporem compare OTHER {run}, or temporem report {run}")
