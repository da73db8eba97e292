"""Checks of outputs: temporem replaces only folders that it wrote, no inputs and no links."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from temporem.errors import TemporemError
from temporem.io.leftovers import is_leftover


def require_replaceable(
    path: str | Path,
    what: str,
    *,
    holds: str,
    folders: Collection[str] = (),
    inputs: Iterable[str | Path] = (),
) -> None:
    """Raise unless ``path`` is free, an empty folder, or a folder of the kind to write.

    A mistyped output name must not delete a folder of another kind.

    Args:
        path: the output.
        what: the kind of folder, for the message: ``a dataset``.
        holds: pattern of a file that identifies such a folder.
        folders: folders that it may contain.
        inputs: files and folders to read, which must not lie in it.

    Raises:
        TemporemError: the folder holds other things, another folder, or an input.
    """
    path = Path(path)
    for needed in map(Path, inputs):
        if path.is_dir() and needed.resolve().is_relative_to(path.resolve()):
            raise TemporemError(
                f"{path} holds the input {needed}, so it is not replaced",
                hint="choose another name for the output",
            )
    if path.is_dir() and any(path.iterdir()) and not any(path.glob(holds)):
        raise TemporemError(
            f"{path} is not {what} (it holds no {holds}), so it is not replaced",
            hint="choose another name or remove it yourself",
        )
    for inside in path.iterdir() if path.is_dir() else ():
        if inside.is_dir() and inside.name not in folders and not is_leftover(inside):
            raise TemporemError(
                f"{inside} does not belong to {what}, so {path} is not replaced",
                hint="move it elsewhere, or choose another name for the output",
            )


def require_no_links(paths: Iterable[Path]) -> None:
    """Raise if a file to write is a link: its target may belong to another user or program.

    A folder to resume may come from anywhere.
    """
    for path in paths:
        if path.is_symlink():
            raise TemporemError(
                f"{path} is a link, and links are not followed when writing",
                expected="a file or folder of its own",
                hint="remove the link",
            )
