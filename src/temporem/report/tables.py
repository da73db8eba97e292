"""The tables of a report, as text in cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from temporem.evaluation.compare import Comparison, Gain
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.metrics.metric import Score
from temporem.evaluation.values import Value, most_important, values
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.csv_text import csv_text, plain
from temporem.report.drawing import script_json


class Cell(NamedTuple):
    """Text of a table, and the confidence interval that goes with it."""

    text: str
    interval: str = ""


_MISSING = Cell("\N{EN DASH}")


@dataclass(frozen=True)
class Row:
    """One line of a table; ``marked`` lists the cells to stress."""

    label: str
    cells: Sequence[Cell]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """Column heads (without that of the labels) and rows."""

    heads: Sequence[str]
    rows: Sequence[Row]

    @property
    def csv(self) -> str:
        """The table as CSV; confidence intervals have columns of their own."""
        columns: dict[str, list[str]] = {"": [row.label for row in self.rows]}
        for index, head in enumerate(self.heads):
            cells = [row.cells[index] for row in self.rows]
            columns[head] = [plain(cell.text) for cell in cells]
            if any(cell.interval for cell in cells):
                ends = [[plain(end) for end in cell.interval.split(" to ")] for cell in cells]
                columns[f"{head}, low"] = [some[0] for some in ends]
                columns[f"{head}, high"] = [some[-1] for some in ends]
        return csv_text(columns)

    @property
    def csv_json(self) -> Markup:
        """The table as CSV in a JSON string that may stand in a script element."""
        return script_json(self.csv)


MOST_IMPORTANT = 8
"""Number of rows of a table with only the main numbers."""


def metrics_table(evaluations: Mapping[str, Evaluation], *, most: int | None = None) -> Table:
    """The numbers of all runs, with confidence intervals; the best of a row is marked.

    Args:
        evaluations: by name of the run.
        most: show only so many rows, the most important ones; all when None.
    """
    columns = [
        {value.label: value for value in [*values(item), *values(item, held_out=True)]}
        for item in evaluations.values()
    ]
    known: dict[str, Value] = {}
    for column in columns:
        known |= {label: value for label, value in column.items() if np.isfinite(value.value)}
    labels = [label for label in dict.fromkeys(chain(*columns)) if label in known]
    if most is not None:
        ranks = {label: known[label].rank for label in labels}
        labels = most_important(ranks, most)
    rows = []
    for label in labels:
        found = [column.get(label) for column in columns]
        cells = [
            _MISSING if value is None else _cell(value.score, value.value, value.interval)
            for value in found
        ]
        rows.append(Row(label, cells, _best(known[label].score, found)))
    return Table(list(evaluations), rows)


def comparison_table(comparisons: Mapping[str, Comparison]) -> Table:
    """Paired gains of runs over one baseline; positive is better.

    Args:
        comparisons: by name of the run that is compared.
    """
    columns = [{gain.label: gain for gain in item.gains} for item in comparisons.values()]
    known: dict[str, Gain] = {}
    for column in columns:
        known |= {label: gain for label, gain in column.items() if np.isfinite(gain.estimate.value)}
    labels = [label for label in dict.fromkeys(chain(*columns)) if label in known]
    rows = []
    for label in labels:
        found = [column.get(label) for column in columns]
        cells = [
            _MISSING
            if gain is None
            else _cell(gain.score, gain.estimate.value, (gain.estimate.low, gain.estimate.high))
            for gain in found
        ]
        rows.append(Row(label, cells))
    return Table(list(comparisons), rows)


def _cell(score: Score, value: float, interval: Sequence[float]) -> Cell:
    if not np.isfinite(value):
        return _MISSING
    text = score.print(value)
    ends = [score.print(end) for end in interval if np.isfinite(end)]
    if {text} == set(ends):  # as printed, an interval of no width
        return Cell(text)
    return Cell(text, " to ".join(ends))


def _best(score: Score, found: Sequence[Value | None]) -> frozenset[int]:
    """Cells with the best value, as printed; none where all are equal or only one run has it."""
    merits = {
        index: score.direction * round(score.factor * value.value, score.digits)
        for index, value in enumerate(found)
        if value is not None and np.isfinite(value.value)
    }
    if len(set(merits.values())) < 2:
        return frozenset()
    return frozenset(i for i, merit in merits.items() if merit == max(merits.values()))


def runs_table(runs: Sequence[ReportRun]) -> Table:
    """Method, length and findings of every run."""

    def last(run: ReportRun, key: str) -> Cell:
        known = run.metrics and key in run.metrics[-1]
        return Cell(f"{run.metrics[-1][key]:,}") if known else _MISSING

    def row(label: str, describe: Callable[[ReportRun], Cell]) -> Row:
        return Row(label, [describe(run) for run in runs])

    def found_again(run: ReportRun) -> Cell:
        return _MISSING if run.components_found is None else Cell(str(run.components_found))

    def alike(run: ReportRun) -> Cell:
        return _MISSING if run.starts_alike is None else Cell(f"{run.starts_alike:.0%}")

    def order(run: ReportRun) -> Cell:
        return Cell("random in every movie") if run.shuffled else _MISSING

    def left_out(run: ReportRun) -> Cell:
        value = run.held_out_log_likelihood
        return _MISSING if value is None else Cell(f"{value:.3f}".replace("-", "\N{MINUS SIGN}"))

    looked_at = [
        row("Order of frames", order),
        row("Log-likelihood of left-out movies (nats per frame)", left_out),
        row("Components that two halves of the movies agree on", found_again),
        row("Frames whose poses two random starts agree on", alike),
    ]
    return Table(
        [run.name for run in runs],
        [
            row("Method", lambda run: Cell(run.method)),
            row(
                "Latent dimension",
                lambda run: _MISSING if run.latents is None else Cell(str(run.latents.shape[1])),
            ),
            *(item for item in looked_at if any(cell != _MISSING for cell in item.cells)),
            row("Epochs", lambda run: last(run, "epoch")),
            row("Optimiser updates", lambda run: last(run, "step")),
            row(
                "Training time",
                lambda run: _MISSING if run.seconds is None else Cell(duration(run.seconds)),
            ),
        ],
    )


def dataset_sentence(dataset: ReportDataset) -> str:
    """Size of the dataset in a line."""
    frames = sum(len(movie) for movie in dataset.movies)
    movies = len(dataset.movies)
    size = f"{frames:,} frames of {movies:,} {'movie' if movies == 1 else 'movies'}"
    box = dataset.facts.get("Image", "")
    return f"{size}, {box}" if box else size


def dataset_table(dataset: ReportDataset) -> Table:
    """Size of the dataset, and other facts about it."""
    lengths = [len(movie) for movie in dataset.movies]
    shortest, longest = min(lengths), max(lengths)
    facts: Mapping[str, str] = {
        "Movies": f"{len(lengths):,}",
        "Frames per movie": str(longest) if shortest == longest else f"{shortest} to {longest}",
        "Frames": f"{sum(lengths):,}",
        **dataset.facts,
    }
    return Table([dataset.name], [Row(label, [Cell(text)]) for label, text in facts.items()])


def config_table(runs: Sequence[ReportRun]) -> Table:
    """The complete configurations; rows in which they differ are marked."""
    columns = [_flatten(run.config) for run in runs]
    rows = []
    for key in dict.fromkeys(key for column in columns for key in column):
        cells = [column.get(key, _MISSING) for column in columns]
        marked = frozenset(range(len(cells))) if len(set(cells)) > 1 else frozenset()
        rows.append(Row(key, cells, marked))
    return Table([run.name for run in runs], rows)


def duration(seconds: float) -> str:
    """Time as ``1 h 05 min``, ``12 min 30 s`` or ``8 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Cell]:
    flat: dict[str, Cell] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = _MISSING if value is None else Cell(str(value))
    return flat
