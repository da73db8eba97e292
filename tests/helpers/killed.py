"""Runs that die while they train."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import command, settings
from temporem.io.checkpoint import save_checkpoint
from temporem.io.state import Parts
from temporem.runs import persistence
from temporem.runs.run import is_finished


class Killed(Exception):
    pass


def kill(dataset: Path, run: Path, n: int, *values: str) -> None:
    """Start a run that dies when it writes its n-th checkpoint."""
    saved: list[Path] = []

    def save(path: Path, parts: Parts) -> None:
        if len(saved) == n:
            raise Killed
        save_checkpoint(path, parts)
        saved.append(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(persistence, "save_checkpoint", save)
        chosen = settings((*values, "checkpoint_seconds=0"))
        with pytest.raises(Killed):
            command("reconstruct", dataset, "-o", run, *chosen)
    assert not is_finished(run)
