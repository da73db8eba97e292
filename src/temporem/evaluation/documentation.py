"""The tables of ``docs/evaluation.md`` that follow from the metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable

from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.metric import Metric, Score

BETTER = {1: "more", -1: "less", 0: "–"}

_TABLES = re.compile(
    r"(?P<begin><!-- (?P<name>scores|gains|arrays):begin -->\n)"
    r".*?(?P<end><!-- (?P=name):end -->)",
    re.DOTALL,
)


def with_current_tables(page: str) -> str:
    """A page with its tables of scores, gains and arrays as the registered metrics have them."""
    tables = {"scores": score_table, "gains": gain_table, "arrays": array_table}
    return _TABLES.sub(
        lambda found: f"{found['begin']}{tables[found['name']]()}\n{found['end']}", page
    )


def score_table() -> str:
    """All scores: their keys, labels, units, better directions and definitions."""
    return _table(
        ("key", "in tables", "unit", "better", "definition"),
        (
            (
                _key(metric, score),
                score.label,
                score.unit,
                BETTER[score.direction],
                score.definition,
            )
            for metric in METRICS.values()
            for score in metric.scores
        ),
    )


def gain_table() -> str:
    """The gains of a comparison that are not a difference of scores."""
    return _table(
        ("key", "in tables", "unit", "definition"),
        (
            (_key(metric, gain), gain.label, gain.unit, gain.definition)
            for metric in METRICS.values()
            for gain in metric.gains
            if gain not in metric.scores
        ),
    )


def array_table() -> str:
    """The arrays of ``evaluation.npz``."""
    return _table(
        ("array", "axes"),
        (
            (f"`{metric.name}/{name}`", ", ".join(map(str, axes)) or "one number")
            for metric in METRICS.values()
            for name, (_, *axes) in metric.arrays.items()
        ),
    )


def _key(metric: Metric, score: Score) -> str:
    return f"`{metric.name}.{score.name}`"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
