"""Lists of numbers in one value of a STAR file, such as ``[0.1,2]``."""

from __future__ import annotations

import numpy as np

_MOST_NUMBERS = 100
_LONGEST_TEXT = 10_000  # characters


def number_list(text: str) -> tuple[float, ...] | None:
    """Read a list of finite numbers, with or without brackets; None where it is none."""
    inner = text.strip().removeprefix("[").removesuffix("]").strip()
    if not inner:
        return ()
    if len(inner) > _LONGEST_TEXT:
        return None
    try:
        values = tuple(float(part) for part in inner.split(","))
    except ValueError:
        return None
    return values if len(values) <= _MOST_NUMBERS and np.isfinite(values).all() else None
