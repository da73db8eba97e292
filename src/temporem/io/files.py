"""Results appear on disk whole or not at all: write beside, then rename."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from temporem.errors import TemporemError

try:
    import fcntl
except ImportError:  # a system without locks of files
    fcntl = None  # type: ignore[assignment]

_LEFTOVER = re.compile(r"\..*\.[0-9a-f]{8}\.(partial|old)$")  # as _sibling has it


@contextmanager
def fresh_directory(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Fill a new directory that appears at ``path`` only when it is complete.

    Yields a temporary sibling of ``path`` to write into. It is renamed to ``path`` when the block
    ends and removed when the block raises (Ctrl-C included); a result that ``overwrite`` allows to
    be replaced stays in place until then.

    Raises:
        TemporemError: ``path`` is a file, or exists and ``overwrite`` is false, or holds the
            working directory, or is :func:`held` by another; its parent is missing or not writable.
    """
    target = _checked_target(path, overwrite=overwrite, directory=True)
    temporary = _sibling(target, "partial")
    try:
        temporary.mkdir()
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        yield temporary
        _rename_into_place(temporary, target, path, overwrite=overwrite)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_write(path: str | Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Write one file that appears at ``path`` only when it is complete.

    Yields a temporary name beside ``path``, with its suffix, for the block to write; it is renamed
    to ``path`` when the block ends and removed when the block raises.

    Raises:
        TemporemError: ``path`` is a directory, or exists and ``overwrite`` is false; its parent is
            missing or not writable.
    """
    target = _checked_target(path, overwrite=overwrite, directory=False)
    temporary = _sibling(target, "partial" + target.suffix)
    try:
        temporary.touch()
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        yield temporary
        _rename_into_place(temporary, target, path, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have a folder to oneself, where system and file system can tell; freed however this ends.

    Raises:
        TemporemError: another process has it.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TemporemError(
                f"{folder} is being written by another process",
                hint="wait until that has ended, or stop it",
            ) from None
        except OSError:  # no locks on this file system
            pass
        yield
    finally:
        os.close(descriptor)


def _checked_target(path: str | Path, *, overwrite: bool, directory: bool) -> Path:
    """Where ``path`` really is (links followed), once it is known that it may be written."""
    target = Path(os.path.realpath(path))
    try:
        exists = target.exists()
    except OSError as error:
        raise _not_writable(path, error) from error
    if exists and not (target.is_dir() or target.is_file()):
        raise TemporemError(
            f"{path} is a device or a pipe and cannot be replaced",
            expected="the name of a file or directory to write",
            hint="choose another name",
        )
    if exists and target.is_dir() != directory:
        raise TemporemError(
            f"{path} is a {'file' if directory else 'directory'}",
            expected=f"the name of a {'directory' if directory else 'file'} to write",
            hint="choose another name",
        )
    if exists and not overwrite:
        raise _exists(path)
    if exists and directory and Path.cwd().is_relative_to(target):
        raise TemporemError(
            f"{path} holds the working directory and cannot be replaced",
            hint="choose another name or run the command from elsewhere",
        )
    if not target.parent.is_dir():
        raise TemporemError(
            f"cannot write {path}: the folder {target.parent} does not exist",
            hint="create it first",
        )
    return target


def _sibling(target: Path, suffix: str) -> Path:
    """An unused hidden name in the folder of ``target``, so that a rename never copies."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.{suffix}")


def is_leftover(path: Path) -> bool:
    """Whether a process that was killed has left this behind, by its name."""
    return _LEFTOVER.match(path.name) is not None


def _rename_into_place(temporary: Path, target: Path, path: str | Path, *, overwrite: bool) -> None:
    if not target.exists():
        temporary.rename(target)
    elif not overwrite:  # appeared while the block ran
        raise _exists(path)
    elif target.is_file():
        temporary.replace(target)
    else:
        # No call swaps two directories everywhere, so the old one steps aside first.
        aside = _sibling(target, "old")
        with held(target):
            try:
                target.rename(aside)
                temporary.rename(target)
            except BaseException:
                if aside.exists() and not target.exists():
                    aside.rename(target)
                raise
        shutil.rmtree(aside, ignore_errors=True)


def _exists(path: str | Path) -> TemporemError:
    return TemporemError(f"{path} exists", hint="choose another name or pass --overwrite")


def _not_writable(path: str | Path, error: OSError) -> TemporemError:
    return TemporemError(
        f"cannot write {path}: {error.strerror}",
        expected="a folder that can be written to",
        hint="choose another name or mend the folder's permissions",
    )
