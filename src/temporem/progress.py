"""How a run tells what it is doing."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told after every step of a run.

    ``stage`` is what is going on, ``done`` of ``total`` steps are done, and ``terms`` are numbers
    to show: of training, the means of the last whole epoch.
    """

    def __call__(self, stage: str, done: int, total: int, terms: dict[str, float]) -> None: ...
