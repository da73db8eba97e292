"""Words for people: lists, and the names of a motion's parameters."""

from __future__ import annotations

from collections.abc import Sequence

_UNITS = {"degrees": "°", "angstrom": "Å", "seconds": "s", "nanometres": "nm"}


def parameter_words(name: str) -> str:
    """Name of a parameter without its unit: ``angle`` for ``angle_degrees``."""
    return _split_unit(name)[0]


def parameter_unit(name: str) -> str:
    """Unit of a parameter: ``°`` for ``angle_degrees``; empty for none."""
    return _split_unit(name)[1]


def parameter_label(name: str) -> str:
    """Name of a parameter with its unit: ``angle (°)`` for ``angle_degrees``."""
    words, unit = _split_unit(name)
    return f"{words} ({unit})" if unit else words


def _split_unit(name: str) -> tuple[str, str]:
    words, _, last = name.rpartition("_")
    if words and last in _UNITS:
        return words.replace("_", " "), _UNITS[last]
    return name.replace("_", " "), ""


def join(texts: Sequence[str]) -> str:
    """Words as a list in a sentence: ``a, b and c``."""
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]
