"""The exception that describes bad input to a user in one line."""

from __future__ import annotations

_LONGEST_PART = 1000  # characters: input of any length may be quoted in a message


class TemporemError(Exception):
    """Unusable input, described so that the user can correct it.

    The command line prints it as one line and exits with code 2; a library user can catch it.

    Args:
        what: the fault and its place (file, row, option).
        expected: valid input.
        hint: the next thing to do.

    Example:
        >>> try:
        ...     tm.read_dataset("nowhere")
        ... except tm.TemporemError as error:
        ...     print(str(error).split(";")[0])
        nowhere does not exist
    """

    def __init__(self, what: str, *, expected: str | None = None, hint: str | None = None) -> None:
        parts = [what]
        if expected:
            parts.append(f"expected {expected}")
        if hint:
            parts.append(hint)
        super().__init__("; ".join(_shortened(" ".join(part.split())) for part in parts))


def _shortened(text: str) -> str:
    """Shorten a long text in its middle: names stand at its beginning, reasons at its end."""
    half = _LONGEST_PART // 2
    return text if len(text) <= _LONGEST_PART else f"{text[:half]} … {text[-half:]}"


class AlreadySaid(Exception):
    """Ends a process of several after another one has told the user why.

    Args:
        interrupted: the reason is Ctrl-C, not an error.
    """

    def __init__(self, *, interrupted: bool) -> None:
        super().__init__("another process of this run has ended")
        self.interrupted = interrupted
