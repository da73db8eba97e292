"""Progress of long work on one scale that never falls."""

from __future__ import annotations

from collections.abc import Callable

Show = Callable[[float, str], None]
"""Function that shows a fraction from 0 to 1 and a note."""


class Progress:
    """A part of a scale from 0 to 1 that several pieces of work share.

    Call it with the amount done, the total amount and a note. A smaller number than before
    leaves the scale where it is, so a bar never moves back.

    Args:
        show: called with the fraction of the whole scale and a note; None shows nothing.

    Example:
        >>> progress = tm.Progress(lambda fraction, note: print(f"{fraction:.0%} {note}"))
        >>> progress(1, 4, "tempor  epoch 8/32")
        25% tempor  epoch 8/32
        >>> progress.part(0.5, 1)(1, 2, "evaluating")
        75% evaluating
    """

    def __init__(self, show: Show | None = None) -> None:
        self._show = show
        self._furthest = 0.0

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """Report that ``done`` of ``total`` is done."""
        self._reach(done / total if total > 0 else 1.0, note)

    def part(self, low: float, high: float, label: str = "") -> Progress:
        """The part of this scale from ``low`` to ``high``, as a scale of its own.

        Args:
            low, high: ends of the part, from 0 to 1.
            label: put before the notes of the part.
        """
        return _Part(self, low, high, label)

    def _reach(self, fraction: float, note: str) -> None:
        self._furthest = max(self._furthest, min(fraction, 1.0))
        if self._show is not None:
            self._show(self._furthest, note)


class _Part(Progress):
    def __init__(self, whole: Progress, low: float, high: float, label: str) -> None:
        super().__init__()
        self._whole, self._low, self._high, self._label = whole, low, high, label

    def _reach(self, fraction: float, note: str) -> None:
        inside = min(max(fraction, 0.0), 1.0)
        note = "  ".join(filter(None, (self._label, note)))
        self._whole._reach(self._low + (self._high - self._low) * inside, note)
