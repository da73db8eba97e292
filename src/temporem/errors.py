"""The one exception that reaches a user, bad input said in one line, and that it was said."""

from __future__ import annotations

_LONGEST_PART = 1000  # characters: input of any length may be quoted in a message


class TemporemError(Exception):
    """Input that cannot be used, described so that the user can mend it.

    The command line prints it as one line and exits with code 2; a library user can catch it.

    Args:
        what: what was wrong and where (file, row, option).
        expected: what would have been right.
        hint: what to do next.
    """

    def __init__(self, what: str, *, expected: str | None = None, hint: str | None = None) -> None:
        parts = [what]
        if expected:
            parts.append(f"expected {expected}")
        if hint:
            parts.append(hint)
        super().__init__("; ".join(_shortened(" ".join(part.split())) for part in parts))


def _shortened(text: str) -> str:
    """Both ends of a text that is too long: names stand at the beginning, reasons at the end."""
    half = _LONGEST_PART // 2
    return text if len(text) <= _LONGEST_PART else f"{text[:half]} … {text[-half:]}"


class AlreadySaid(Exception):
    """Why a process of several ends: another one has told the user.

    Args:
        interrupted: whether it was Ctrl-C, not an error.
    """

    def __init__(self, *, interrupted: bool) -> None:
        super().__init__("another process of this run has ended")
        self.interrupted = interrupted
