"""The command ``temporem``. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from temporem import __version__
from temporem.cli.demo import demo
from temporem.cli.evaluate import compare, evaluate
from temporem.cli.experiment import experiment
from temporem.cli.export import export
from temporem.cli.info import info
from temporem.cli.reconstruct import reconstruct
from temporem.cli.report import report
from temporem.cli.simulate import simulate
from temporem.errors import AlreadySaid, TemporemError

BAD_INPUT, INTERRUPTED = 2, 130

app = App(
    name="temporem",
    help="3D structures that move, from liquid-phase electron microscopy movies.\n\n"
    "Start with:  temporem demo",
    version=__version__,
    version_flags=["--version"],
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
for _command in (
    demo,
    simulate,
    reconstruct,
    evaluate,
    compare,
    export,
    report,
    experiment,
    info,
):
    app.command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C.

    Args:
        arguments: of the command line; those of the process when None.
    """
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    if several:  # PyTorch has pages to say of a process that is lost; one line is enough
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_none")
    except TemporemError as error:
        return _fail(str(error))
    except AlreadySaid as said:
        return INTERRUPTED if said.interrupted else BAD_INPUT
    except CycloptsError as error:
        if several and os.environ.get("RANK", "0") != "0":
            return BAD_INPUT  # all processes of a run are given the same arguments
        return _fail(f"{str(error).rstrip('.')}; see --help")
    except OSError as error:  # a full disk, a folder without permission
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except MemoryError:
        return _fail("there is not enough memory for this; take fewer or smaller images")
    except KeyboardInterrupt as stop:
        print(str(stop) or "interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _fail(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT
