"""Tables on standard output, progress on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from temporem.progress import Progress, Show

if TYPE_CHECKING:
    from temporem.report.tables import Table

_PIPED_WIDTH = 200  # no line breaks in output that a program reads
_LOG_SECONDS = 60.0  # between lines in the log of a batch job


def say(text: str) -> None:
    """Print a line to standard output as it is."""
    text = text.encode("utf-8", "replace").decode()  # a path may hold bytes that are no text
    _output().print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning to standard error, above a progress bar."""
    print(f"Warning: {text}".encode("utf-8", "replace").decode(), file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """Print a JSON document."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    print(text.encode("utf-8", "replace").decode())  # a path may hold bytes that are no text


def print_table(table: Table, title: str = "") -> None:
    """Print a table; on a terminal, the marked cells are bold."""
    from rich.table import Table as RichTable
    from rich.text import Text

    name = Text(title) if title else None  # a path in it is no markup
    grid = RichTable(title=name, box=None, pad_edge=False, title_justify="left")
    grid.add_column("")
    for head in table.heads:
        grid.add_column(Text(head), justify="right")
    for row in table.rows:
        cells = [
            Text(
                f"{cell.text} ({cell.interval})" if cell.interval else cell.text,
                style="bold" if index in row.marked else "",
            )
            for index, cell in enumerate(row.cells)
        ]
        grid.add_row(Text(row.label), *cells)
    _output().print(grid)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values, aligned."""
    width = max(map(len, facts))
    for name, value in facts.items():
        say(f"{name:<{width}}  {value}")


@contextmanager
def progress_bar(description: str, *, hidden: bool = False) -> Iterator[Progress]:
    """Show a bar on the terminal, and give the progress that moves it.

    Until its first move, the bar only shows activity. Without a terminal, as in a batch job, it
    prints a line every minute. A hidden bar prints nothing.
    """
    if hidden:
        yield Progress()
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress(_line_a_minute(description))
        return
    from rich import progress as rich_progress

    columns = [
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TaskProgressColumn(),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("{task.fields[note]}"),
    ]
    with rich_progress.Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=None, note="")

        def show(fraction: float, note: str) -> None:
            bar.update(task, completed=fraction, total=1.0, note=note)

        yield Progress(show)


def _line_a_minute(description: str) -> Show:
    started = last = time.monotonic()

    def show(fraction: float, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LOG_SECONDS:
            last = now
            so_far = f"{fraction:.0%} after {(now - started) / 60:.0f} min"
            print(f"{description}: {so_far}  {note}".rstrip(), file=sys.stderr, flush=True)

    return show


def _output() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_WIDTH)
