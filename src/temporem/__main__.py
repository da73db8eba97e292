"""``temporem`` and ``python -m temporem``."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def run() -> int:
    """Run the command line; returns the exit code. Ctrl-C may come while it is being imported.

    SIGTERM, with which Slurm and ``kill`` stop a program, counts as Ctrl-C.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from temporem.cli.main import main

        return main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # it may be repeated while the program cleans up
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(run())
