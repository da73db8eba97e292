"""The page of all commands, from the command line itself."""

from __future__ import annotations

import re

from temporem.cli.main import app

_HEAD = """\
# Commands

What `temporem COMMAND --help` prints. Bad input gives one line and exit code 2; Ctrl-C exits with
130, and the line before says how to continue. Nothing is replaced without `--overwrite`.
`OMP_NUM_THREADS` sets the number of threads.

"""


def command_page() -> str:
    """All commands with their arguments and options."""
    text = app.generate_docs(output_format="markdown")
    _, _, commands = text.partition("**Commands**:\n\n")
    commands = re.sub(r"^\* \[", "- [", commands, flags=re.M)
    commands = commands.replace("```console", "```text").replace("&nbsp;", " ")
    commands = re.sub(r"^\* ", "- ", commands, flags=re.M)
    commands = re.sub(
        r"(?:^Example: .*\n(?:^ +\S.*\n)*)+",
        lambda found: _examples(found[0]),
        commands,
        flags=re.M,
    )
    return _HEAD + commands.rstrip() + "\n"


def _examples(text: str) -> str:
    """A block of commands; lines that continue the one before are joined to it."""
    lines = re.sub(r"\n +", " ", text).splitlines()
    return "\n".join(["```sh", *(re.sub(r"^Example: +", "", line) for line in lines), "```", ""])
