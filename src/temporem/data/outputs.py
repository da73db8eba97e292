"""Which existing folders ``--overwrite`` may replace: those that temporem wrote, and no others."""

from __future__ import annotations

from pathlib import Path

from temporem.errors import TemporemError


def require_replaceable(path: str | Path, what: str, *, holds: str) -> None:
    """Raise unless ``path`` is free, an empty folder, or a folder of the kind to be written.

    A slip of the hand in an output's name must not delete a folder of something else.

    Args:
        path: the output.
        what: the kind of folder, for the message: ``a dataset``.
        holds: pattern of a file by which one is known.

    Raises:
        TemporemError: the folder holds other things.
    """
    path = Path(path)
    if path.is_dir() and any(path.iterdir()) and not any(path.glob(holds)):
        raise TemporemError(
            f"{path} is not {what} (it holds no {holds}), so it is not replaced",
            hint="choose another name or remove it yourself",
        )
