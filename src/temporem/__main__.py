"""``temporem`` and ``python -m temporem``."""

from __future__ import annotations

import sys


def run() -> int:
    """Run the command line; returns the exit code. Ctrl-C may come while it is being imported."""
    try:
        from temporem.cli.main import main

        return main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run())
