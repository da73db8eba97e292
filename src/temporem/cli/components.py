"""What a run has found that moves, and whether it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from temporem.cli.console import say


def say_components(run: Path) -> None:
    """Say how many components a linear run has, and how many halves of the movies find alone."""
    from temporem.report.collect import half_agreement, last_metric, read_metrics

    n, agreement = last_metric(run, "components"), half_agreement(read_metrics(run))
    if agreement is None:
        say(f"Components: {n}; too few movies to see whether halves of them find the same")
        return
    say(f"Components: {n}, of which {_found(agreement)}")
    _warn_of_none(agreement)


def say_start(run: Path) -> None:
    """The same of the linear model that a network's training started from, where there was one."""
    from temporem.report.collect import half_agreement, read_metrics
    from temporem.runs.run_files import START_METRICS_NAME

    agreement = half_agreement(read_metrics(run, START_METRICS_NAME))
    if agreement is not None:
        n = len(agreement["correlations"])
        say(f"Of {n} linear component{'s' * (n > 1)} at the start {_found(agreement)}")
        _warn_of_none(agreement)


def _found(agreement: dict[str, Any]) -> str:
    pairs = zip(*(agreement[k] for k in ("correlations", "chance", "chance_sd")), strict=True)
    numbers = ", ".join(f"{found:.2f} ({mean:.2f} ± {sd:.2f})" for found, mean, sd in pairs)
    return (
        f"halves of the movies, each on its own, find {agreement['components_found']}. "
        f"Agreement, in brackets by chance: {numbers}"
    )


def _warn_of_none(agreement: dict[str, Any]) -> None:
    if not agreement["components_found"]:
        say(
            "Warning: what moves in these volumes may be noise. Half of the movies cannot tell it "
            "from chance; all of them may, but nothing here shows that they do."
        )
