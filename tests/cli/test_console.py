"""What is said of progress where there is no terminal, as in the log of a batch job."""

from __future__ import annotations

import pytest

from temporem.cli import console
from temporem.cli.console import progress_bar
from temporem.report.tables import Table


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests turn."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_a_line_a_minute(clock, capsys) -> None:
    with progress_bar("Reconstructing") as update:
        for second in range(0, 200, 10):
            clock[0] = second
            update(second, 400, "tempor  kl 1.3")
    out, err = capsys.readouterr()
    assert not out
    assert err.splitlines() == [
        "Reconstructing: 15% after 1 min  tempor  kl 1.3",
        "Reconstructing: 30% after 2 min  tempor  kl 1.3",
        "Reconstructing: 45% after 3 min  tempor  kl 1.3",
    ]


def test_nothing_of_what_is_done_within_a_minute(clock, capsys) -> None:
    with progress_bar("Evaluating") as update:
        clock[0] = 59
        update(4, 4)
    assert capsys.readouterr() == ("", "")


def test_nothing_where_it_is_hidden(clock, capsys) -> None:
    with progress_bar("Reconstructing", hidden=True) as update:
        clock[0] = 600
        update(1, 4)
    assert capsys.readouterr() == ("", "")


def test_paths_are_said_as_they_are(capsys) -> None:
    console.say("/data/a:fire:b [red]c[/y]")
    assert capsys.readouterr().out == "/data/a:fire:b [red]c[/y]\n"
    console.say("caf\udce9")  # a byte of Latin-1 in the name of a folder
    assert capsys.readouterr().out == "caf?\n"


def test_titles_are_no_markup(capsys) -> None:
    console.print_table(Table(heads=["value"], rows=[]), "of a[tempor] b[/y]")
    assert "".join(capsys.readouterr().out.split()) == "ofa[tempor]b[/y]value"
