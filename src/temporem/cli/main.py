"""The command ``temporem``. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import difflib
import io
import os
import sys
from collections.abc import Sequence
from types import NoneType
from typing import Any, get_args

from cyclopts import (
    App,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    Token,
    UnknownCommandError,
    UnknownOptionError,
    convert,
)

from temporem.cli.check import check
from temporem.cli.demo import demo
from temporem.cli.evaluate import compare, evaluate
from temporem.cli.experiment import experiment
from temporem.cli.export import export
from temporem.cli.extract import extract
from temporem.cli.failures import describe
from temporem.cli.import_ import import_
from temporem.cli.info import info
from temporem.cli.kinetics import kinetics
from temporem.cli.latents import latents
from temporem.cli.motion import motion
from temporem.cli.plan import plan
from temporem.cli.reconstruct import reconstruct
from temporem.cli.report import report
from temporem.cli.select import select
from temporem.cli.simulate import simulate
from temporem.cli.validate import validate
from temporem.cli.view import view
from temporem.errors import AlreadySaid, TemporemError
from temporem.version import __version__

BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


def _convert(kind: Any, words: Sequence[Token]) -> Any:
    """Convert words to a type, but refuse 2.5 for a whole number, which cyclopts rounds to 2."""
    if _is_whole(kind):
        for word in words:
            before, point, after = word.value.partition(".")
            if point and not (before.lstrip("+-").isdigit() and not after.strip("0")):
                name = word.keyword or word.value
                raise TemporemError(f"{name} {word.value}", expected="a whole number")
    return convert(kind, words)


def _is_whole(kind: Any) -> bool:
    """True for int, and for lists of it; either may be optional."""
    parts = [part for part in get_args(kind) if part is not NoneType]
    return kind is int or (bool(parts) and all(map(_is_whole, parts)))


app = App(
    name="temporem",
    help="3D structures that move, from liquid-phase electron microscopy movies.\n\n"
    "Start with:  temporem demo",
    version=__version__,
    version_flags=["--version"],
    help_format="plaintext",
    default_parameter=Parameter(converter=_convert),
    suppress_keyboard_interrupt=False,
)
_COMMANDS = (
    *(demo, simulate, plan, extract, import_, check, reconstruct, validate, evaluate, compare),
    *(latents, motion, kinetics, select, view, export, report, experiment, info),
)
for _command in _COMMANDS:
    app.command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 0, 2 for bad input, 130 after Ctrl-C.

    Args:
        arguments: words of the command line; those of the process if None.
    """
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    if several:  # PyTorch prints pages about a process that is lost; one line is enough
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    _replace_what_cannot_be_printed()
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_none")
    except TemporemError as error:
        return _fail(str(error))
    except AlreadySaid as said:
        return INTERRUPTED if said.interrupted else BAD_INPUT
    except CycloptsError as error:
        if several and os.environ.get("RANK", "0") != "0":
            return BAD_INPUT  # all processes of a run are given the same arguments
        return _fail(_explain(error))
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        sys.stdout = io.StringIO()
        return BROKEN_PIPE
    except KeyboardInterrupt as stop:
        print(str(stop) or "interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        line = describe(error)
        if line is None:
            raise
        return _fail(line)
    return 0


def _replace_what_cannot_be_printed() -> None:
    """Print ``?`` for characters that a terminal or log lacks, such as Å in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _explain(error: CycloptsError) -> str:
    if isinstance(error, UnknownOptionError) and any(
        "--set" in argument.names for argument in error.argument_collection or ()
    ):
        said = str(error).rstrip(".")
        return f"{said}; see --help for options; a setting is written --set KEY=VALUE"
    if type(error) is MissingArgumentError and error.argument is not None:
        name = error.argument.name
        if error.keyword is None and not error.argument.tokens:
            return f"{' '.join(error.command_chain or ())} needs {name}; see --help".strip()
        return f"{error.keyword or name} needs a value; see --help"
    if not (isinstance(error, UnknownCommandError) and error.unused_tokens):
        return f"{str(error).rstrip('.')}; see --help"
    given = error.unused_tokens[0]
    names = [command.__name__.strip("_") for command in _COMMANDS]
    near = difflib.get_close_matches(given, names, n=1)
    return str(
        TemporemError(
            f"unknown command '{given}'",
            expected=f"one of {', '.join(names)}",
            hint=f"did you mean {near[0]}?" if near else "see --help",
        )
    )


def _fail(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT
