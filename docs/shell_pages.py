"""Shell blocks of pages: what they run, and what they printed.

A test runs the commands of every page in small (``tests/test_commands_of_pages.py``).
``python docs/shell_pages.py PAGE FOLDER`` runs them as they stand, in FOLDER, and writes what they
print into the blocks of text that follow them. Comments above a block, which no reader sees, say
what is special about it:

``<!-- run: no, BECAUSE -->``   it is not run
``<!-- run: first COMMAND -->`` a command that runs before it, in a shell
``<!-- run: part -->``          above a block of text: it shows a part, and stays as it is

A command whose output begins with ``error:`` must fail with it, also in small.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?P<notes>(?:^ *<!-- run: [^\n]*-->\n)*)^ *```sh\n(?P<code>.*?)^ *```\n"
    r"(?:\n(?P<kept>(?:<!-- run: part -->\n)?)```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
_PROGRESS = re.compile(r"^\w[^\n]*: +\d+% after [^\n]*\n", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Commands that stand together, and what the page says they print."""

    commands: list[str]
    output: str | None
    skipped: bool
    first: list[str]
    """Commands that run before them and are not shown."""

    @property
    def fails(self) -> bool:
        """Tell if the page shows an error."""
        return (self.output or "").startswith("error:")


def blocks(page: Path) -> Iterator[Block]:
    """Blocks of a page, in order."""
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield _block(found)


def _block(found: re.Match[str]) -> Block:
    notes = re.findall(r"<!-- run: (.*?) *-->", found["notes"])
    unknown = [n for n in notes if not n.startswith(("no, ", "first "))]
    if unknown:
        raise ValueError(f"not understood: <!-- run: {unknown[0]} -->")
    return Block(
        commands=_commands(found["code"]),
        output=found["output"],
        skipped=any(note.startswith("no, ") for note in notes),
        first=[note.removeprefix("first ") for note in notes if note.startswith("first ")],
    )


def _commands(code: str) -> list[str]:
    """Logical lines without comments; a loop is one command."""
    joined = re.sub(r"\\\n\s*", "", code)
    lines = [re.sub(r"(^|\s+)#.*$", "", line).rstrip() for line in joined.splitlines()]
    commands: list[str] = []
    for line in filter(None, lines):
        inside = commands and re.match(r"for\b", commands[-1]) and "done" not in commands[-1]
        if inside:
            commands[-1] += f"\n{line}"
        else:
            commands.append(line)
    return commands


def environment() -> dict[str, str]:
    """Variables of the environment with which commands find ``temporem`` and helpers of tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TESTS": str(Path(__file__).parents[1] / "tests")}


def refresh(page: Path, folder: Path) -> None:
    """Run the blocks of a page as they stand, and write what they print into it."""

    def renewed(found: re.Match[str]) -> str:
        block = _block(found)
        if block.skipped:
            return found[0]
        for line in block.first:
            subprocess.run(["bash", "-ec", line], cwd=folder, env=places, check=True)
        script = "\n".join(["exec 2>&1", *block.commands])
        print(f"{page.name}: {block.commands}", file=sys.stderr, flush=True)
        done = subprocess.run(
            ["bash", "-ec", script], cwd=folder, env=places, capture_output=True, text=True
        )
        print(done.stdout, file=sys.stderr, flush=True)
        if (done.returncode != 0) != block.fails:
            raise SystemExit(f"{page}: {block.commands} ended with {done.returncode}")
        if block.output is None or found["kept"]:
            return found[0]
        text = _PROGRESS.sub("", done.stdout).replace(f"{folder.resolve()}/", "")
        start, end = found.start("output") - found.start(), found.end("output") - found.start()
        return found[0][:start] + text + found[0][end:]

    folder.mkdir(parents=True, exist_ok=True)
    places = environment()
    text = page.read_text(encoding="utf-8")
    page.write_text(_BLOCK.sub(renewed, text), encoding="utf-8")


if __name__ == "__main__":
    refresh(Path(sys.argv[1]), Path(sys.argv[2]))
