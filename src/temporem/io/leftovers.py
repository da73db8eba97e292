"""Leftovers of processes that were killed while they wrote a result.

A living process locks what it works on, so its files are never taken for leftovers.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path

from temporem.io.sync import sync

try:
    import fcntl
except ImportError:  # this system cannot lock files
    fcntl = None  # type: ignore[assignment]

_LEFTOVER = re.compile(
    r"\.(?P<target>.+)\.[0-9a-f]{8}\.(?P<kind>partial|old)(?P<suffix>\.[^.]*)?", re.DOTALL
)
"""Hidden names that :func:`sibling` gives."""


def adopt_leftovers(target: str | Path, *, deep: bool = False) -> None:
    """Restore or remove what dead processes left beside ``target`` and directly in it.

    A crash between the two renames that replace a directory leaves nothing at ``target`` and the
    old directory beside it: this directory is restored. Half-written and discarded files are
    removed. Files of a living process are locked and stay, as does everything in a folder that
    cannot be written to.

    Args:
        target: a file or folder that is about to be opened or written; it may be missing.
        deep: go through all folders in it, too; for a folder that is written in place.
    """
    target = Path(os.path.realpath(target))
    _settle(target.parent, target.name)
    folders = [target] if target.is_dir() else []
    while folders:
        folder = folders.pop()
        _settle(folder)
        if deep:
            folders += [Path(entry.path) for entry in _entries(folder) if _is_folder(entry)]


def is_leftover(path: Path) -> bool:
    """Tell by its name if this is a leftover of a killed process."""
    return _LEFTOVER.fullmatch(path.name) is not None


def sibling(target: Path, suffix: str) -> Path:
    """Choose an unused hidden name in the folder of ``target``, so that a rename never copies."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.{suffix}")


def final_name(path: Path) -> Path:
    """Return the path that a file gets when the temporary folders that it is in are renamed."""
    found = [_LEFTOVER.fullmatch(part) for part in path.parts]
    return Path(*(m["target"] if m else part for m, part in zip(found, path.parts, strict=True)))


def lock(path: Path) -> int | None:
    """Lock a file or folder; None where the file system has no locks.

    Raises:
        BlockingIOError: another process has locked it.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe keeps nobody waiting
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def release(guard: int | None) -> None:
    """Give up a lock."""
    if guard is not None:
        os.close(guard)


def _settle(folder: Path, name: str | None = None) -> None:
    """Put back or remove leftovers in a folder: those of one target, or all."""
    for entry in _entries(folder):
        found = _LEFTOVER.fullmatch(entry.name)
        if found is None or name not in (None, found["target"]):
            continue
        leftover = Path(entry.path)
        try:
            guard = lock(leftover)
        except BlockingIOError:
            continue  # its process lives
        try:
            missing = not os.path.lexists(folder / found["target"])
            if found["kind"] == "old" and missing and _is_folder(entry):
                os.rename(leftover, folder / found["target"])
                sync(folder)
            elif guard is not None and _is_folder(entry):
                shutil.rmtree(leftover, ignore_errors=True)
            elif guard is not None:
                os.unlink(leftover)
        except OSError:
            pass  # a folder that cannot be written to
        finally:
            release(guard)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)
