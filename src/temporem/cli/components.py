"""What a linear run has found, and whether it is there."""

from __future__ import annotations

from pathlib import Path

from temporem.cli.console import say


def say_components(run: Path) -> None:
    """Say how many components there are, and how many of them halves of the movies find alone."""
    from temporem.report.collect import last_metric

    n = last_metric(run, "components")
    agreement = last_metric(run, "half_agreement", needed=False)
    if agreement is None:
        say(f"Components: {n}; too few movies to see whether halves of them find the same")
        return
    pairs = zip(*(agreement[k] for k in ("correlations", "chance", "chance_sd")), strict=True)
    numbers = ", ".join(f"{found:.2f} ({mean:.2f} ± {sd:.2f})" for found, mean, sd in pairs)
    common = agreement["components_found"]
    say(
        f"Components: {n}, of which halves of the movies, each on its own, find {common}. "
        f"Agreement, in brackets by chance: {numbers}"
    )
    if not common:
        say(
            "Warning: what moves in these volumes may be noise. Half of the movies cannot tell it "
            "from chance; all of them may, but nothing here shows that they do."
        )
