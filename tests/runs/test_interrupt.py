"""Ctrl-C while a state must not be lost: the first one waits, the second insists."""

import os
import signal
import threading

import pytest

from temporem.runs.interrupt import InterruptFlag


def test_interrupt_flag_waits_once_and_then_insists() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with InterruptFlag() as flag:
        assert not flag
        os.kill(os.getpid(), signal.SIGTERM)
        assert flag
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is handler


def test_interrupt_flag_keeps_out_of_other_threads() -> None:
    results: list[bool] = []

    def use() -> None:
        with InterruptFlag() as flag:
            results.append(bool(flag))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert results == [False]


def test_sigterm_may_come_twice() -> None:
    """Torchrun and Slurm repeat it while the checkpoint is being written."""
    with InterruptFlag() as flag:
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            assert flag
