"""``results.md``: the record as a page of tables."""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

_MISSING = "–"
_MEBIBYTE = 2**20
_BUSY = 0.5  # processes that wait for a core, besides ours


def markdown(document: Mapping[str, Any]) -> str:
    """The page of a record: machine, a table for every finished case, commands."""
    parts = ["# Speed", *_machine(document)]
    for case in document["cases"].values():
        parts += [f"## {case['title']}", table(case["rows"])]
        parts += ["\n".join(f"- {note}" for note in case["notes"])] if case["notes"] else []
    parts += ["## Commands", _commands(document)]
    return "\n\n".join(parts) + "\n"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One case: medians, ranges and what the commands took."""
    extra = list(dict.fromkeys(name for row in rows for name in row["columns"]))
    compared = any(row["gain"] is not None for row in rows)
    used = any(row["usage"] for row in rows)
    heads = ["", "unit", "median", "range", "n", *extra]
    heads += ["× cryodrgn"] * compared
    heads += ["command (s)", "CPU (s)", "peak memory (MiB)"] * used
    lines = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    for row in rows:
        cells = [row["label"], row["unit"], number(row["median"]), _range(row)]
        cells += [str(len(row["values"]))]
        cells += [number(row["columns"].get(name)) for name in extra]
        cells += [_gain(row)] * compared
        lines.append(cells + _usage(row["usage"]) * used)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float | None) -> str:
    """Three significant digits, or all before the point."""
    if value is None:
        return _MISSING
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(decimals, 0)}f}"


def _range(row: Mapping[str, Any]) -> str:
    if len(row["values"]) < 2:
        return _MISSING
    return f"{number(row['lowest'])} … {number(row['highest'])}"


def _gain(row: Mapping[str, Any]) -> str:
    if row["gain"] is None:
        return _MISSING
    if row["peer"]:
        return "1"
    text = number(row["gain"])
    return f"**{text}**" if row["gain"] > 1 else text


def _usage(usage: Sequence[Mapping[str, float]]) -> list[str]:
    if not usage:
        return [_MISSING] * 3
    seconds, cpu = (
        statistics.median(item[name] for item in usage) for name in ("seconds", "cpu_seconds")
    )
    memory = max(item["peak_memory_bytes"] for item in usage) / _MEBIBYTE
    return [number(seconds), number(cpu), number(memory)]


def _machine(document: Mapping[str, Any]) -> list[str]:
    sessions = document["sessions"]
    facts = [key for key in sessions[-1] if key != "date"]
    lines = [f"- {key.replace('_', ' ')}: {_join(s.get(key) for s in sessions)}" for key in facts]
    given = {key: value for key, value in document["settings"].items() if value is not None}
    settings = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in given.items())
    busy = max(session["load_at_start"] for session in sessions) > _BUSY
    first, last = sessions[0]["date"], sessions[-1]["date"]
    date = first if len(sessions) == 1 else f"{first}, last resumed {last}"
    legend = (
        "Medians of n repetitions, ours and the peer's in turn, and their lowest and highest. "
        "× cryodrgn: how many times better than the peer's row that it is compared with. "
        "command, CPU: median wall-clock and processor seconds of the whole command; peak memory: "
        "the largest of the repetitions."
    )
    warning = ["**The machine was busy when this began: times are longer than they should be.**"]
    facts_and_settings = [f"- date: {date}", *lines, f"- settings: {settings}"]
    return ["\n".join(facts_and_settings), *warning * busy, legend]


def _join(values: Any) -> str:
    return ", then ".join(dict.fromkeys(map(str, values)))


def _commands(document: Mapping[str, Any]) -> str:
    """Every command once, as it was run."""
    found = document["measurements"].values()
    commands = dict.fromkeys(shlex.join(item["command"]) for item in found)
    return "\n".join(["```sh", *commands, "```"])
