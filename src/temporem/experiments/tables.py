"""The results of an experiment as CSV, as Markdown and as tables of its page."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from temporem.evaluation.values import most_important
from temporem.experiments.config import Experiment
from temporem.experiments.measures import (
    Interval,
    Measure,
    Numbers,
    Record,
    over_movies,
    over_seeds,
)
from temporem.io.files import atomic_write
from temporem.report.tables import MOST_IMPORTANT, Cell, Row, Table

_MISSING = Cell("\N{EN DASH}")


def write_csv(path: Path, rows: Sequence[Record]) -> None:
    """Write every number of every seed, one per line."""
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Record)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def result_tables(experiment: Experiment, numbers: Numbers) -> dict[str, dict[str, Table]]:
    """Tables by dataset, then by caption: measures by method, and the gains over the baseline."""
    ranks = {label: gain.rank for label, gain in numbers.gains.items()}
    shown = [numbers.gains[label] for label in most_important(ranks, MOST_IMPORTANT)]
    tables: dict[str, dict[str, Table]] = {}
    for dataset in experiment.datasets:
        here = [row for row in numbers.rows if row.dataset == dataset]
        methods = [m for m in experiment.methods if any(row.method == m for row in here)]
        if not methods:
            continue
        heads = [f"{m} ({len({r.seed for r in here if r.method == m})})" for m in methods]
        lines = [_line(measure, here, methods) for measure in numbers.measures.values()]
        found = Table(heads, [line for line in lines if line is not None])
        tables[dataset] = {"Mean ± 95 % interval over seeds; number of seeds in brackets.": found}
        others = [m for m in methods if m != experiment.baseline]
        gains = [
            Row(
                gain.label,
                [_gain_cell(here, m, gain.label, gain.digits) for m in others],
            )
            for gain in shown
        ]
        if any(row.measure in numbers.gains for row in here):
            caption = (
                f"Gain over {experiment.baseline}, paired by frame; positive is better. After ± "
                "the 95 % interval over seeds, in brackets the 95 % bootstrap interval over movies "
                "of all seeds."
            )
            tables[dataset][caption] = Table(others, gains)
    return tables


def markdown(experiment: Experiment, numbers: Numbers, notes: Sequence[str]) -> str:
    """All tables as one Markdown document."""
    lines = [f"# {experiment.title}", "", experiment.question.strip(), ""]
    for note in notes:
        lines += [note, ""]
    for dataset, tables in result_tables(experiment, numbers).items():
        lines += [f"## {dataset}", ""]
        for caption, table in tables.items():
            lines += [caption, "", _markdown_line(["", *table.heads])]
            lines.append(_markdown_line(["---"] + ["---:"] * len(table.heads)))
            for row in table.rows:
                cells = [
                    f"**{_text(cell)}**" if index in row.marked else _text(cell)
                    for index, cell in enumerate(row.cells)
                ]
                lines.append(_markdown_line([row.label, *cells]))
            lines.append("")
    return "\n".join(lines)


def method_table(experiment: Experiment) -> Table:
    """List the settings of every method that differ from the defaults."""
    rows = []
    for name, entry in experiment.methods.items():
        text = " ".join(entry.program) or ", ".join(f"{k}={v}" for k, v in entry.settings.items())
        rows.append(Row(name, [Cell(entry.kind), Cell(text)]))
    return Table(["Kind", "Settings"], rows)


def _line(measure: Measure, rows: Sequence[Record], methods: Sequence[str]) -> Row | None:
    values = [_interval(rows, method, measure.label) for method in methods]
    if all(value is None for value in values):
        return None
    known = [round(v.mean, measure.digits) * measure.direction for v in values if v is not None]
    best = max(known) if len(set(known)) > 1 else None
    marked = frozenset(
        index
        for index, value in enumerate(values)
        if value is not None and round(value.mean, measure.digits) * measure.direction == best
    )
    return Row(measure.label, [_cell(value, measure.digits) for value in values], marked)


def _interval(rows: Sequence[Record], method: str, label: str) -> Interval | None:
    return over_seeds([r.value for r in rows if (r.method, r.measure) == (method, label)])


def _cell(value: Interval | None, digits: int) -> Cell:
    if value is None:
        return _MISSING
    text = _number(value.mean, digits)
    if math.isnan(value.low):
        return Cell(text)
    return Cell(text, f"± {value.high - value.mean:.{digits}f}")


def _gain_cell(rows: Sequence[Record], method: str, label: str, digits: int) -> Cell:
    """Give the interval over seeds, if there are several, and that over movies."""
    here = [row for row in rows if (row.method, row.measure) == (method, label)]
    cell, movies = _cell(_interval(rows, method, label), digits), over_movies(here)
    if movies is None or math.isnan(movies.low):
        return cell
    ends = [_number(end, digits) for end in (movies.low, movies.high)]
    return Cell(cell.text, f"{cell.interval} [{ends[0]}, {ends[1]}]".strip())


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _text(cell: Cell) -> str:
    return f"{cell.text} {cell.interval}".strip()


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
