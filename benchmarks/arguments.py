"""What command lines of benchmarks take."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number above 0; argparse says what is wrong with another."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value
