"""Ctrl-C as a request to stop at the next safe point."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class InterruptFlag:
    """Flag that Ctrl-C or SIGTERM sets inside the ``with`` block.

    A second Ctrl-C raises :class:`KeyboardInterrupt` at once; SIGTERM, which torchrun and Slurm
    repeat, does not. Outside the main thread, where
    signals cannot be handled, it is never true.
    """

    def __init__(self) -> None:
        self._raised = False
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self._raised

    def __enter__(self) -> InterruptFlag:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._raised and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._raised = True
