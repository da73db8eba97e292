"""Atomic writing of results: write beside the target, sync to disk, then rename.

After a crash or a power cut, the old result or the new one is there, never half of either.
:func:`adopt_leftovers` restores or removes what a dead process left beside a target.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from temporem.errors import TemporemError
from temporem.io.leftovers import adopt_leftovers, final_name, lock, release, sibling
from temporem.io.sync import sync, sync_tree

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_HINTS = {
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "your quota on this disk is used up: remove files or ask for a larger one",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EIO: "the disk or its network fails: look at the system log and choose another disk",
    errno.EROFS: "this disk is mounted read-only: choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def fresh_directory(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Fill a new directory that appears at ``path`` only when it is complete and on the disk.

    Yields a temporary sibling of ``path`` to write into. It is renamed to ``path`` when the block
    ends and removed when the block raises (Ctrl-C included). A result that ``overwrite`` allows
    to be replaced stays in place until then. Leftovers of processes that died are settled first.

    Raises:
        TemporemError: ``path`` is a file, or exists and ``overwrite`` is false, or holds the
            working directory, or is :func:`held` by another; its parent is missing or not
            writable; the disk is full or fails.
    """
    target = _checked_target(path, overwrite=overwrite, directory=True)
    with _claimed(target, "partial", os.mkdir, path) as temporary:
        try:
            with _errors_name(path, temporary):
                yield temporary
                sync_tree(temporary)
                _rename_into_place(temporary, target, path, overwrite=overwrite)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def require_new_directory(path: str | Path, *, overwrite: bool = False) -> None:
    """Raise the TemporemError at once that :func:`fresh_directory` would raise when it begins."""
    _checked_target(path, overwrite=overwrite, directory=True)


@contextmanager
def atomic_write(
    path: str | Path, *, overwrite: bool = True, needed: int | None = None
) -> Iterator[Path]:
    """Write one file that appears at ``path`` only when it is complete and on the disk.

    Yields a temporary name beside ``path``, with its suffix, for the block to write. It is renamed
    to ``path`` when the block ends and removed when the block raises.

    Args:
        path: the file.
        overwrite: replace a file that exists.
        needed: bytes of the file, for the message about a full disk.

    Raises:
        TemporemError: ``path`` is a directory, or exists and ``overwrite`` is false; its parent is
            missing or not writable; the disk is full or fails.
    """
    target = _checked_target(path, overwrite=overwrite, directory=False)
    with _claimed(target, "partial" + target.suffix, _create, path) as temporary:
        try:
            with _errors_name(path, temporary, needed):
                yield temporary
                sync(temporary)
                _rename_into_place(temporary, target, path, overwrite=overwrite)
        finally:
            temporary.unlink(missing_ok=True)


def require_new_file(path: str | Path, *, overwrite: bool = True) -> None:
    """Raise the TemporemError at once that :func:`atomic_write` would raise when it begins."""
    target = _checked_target(path, overwrite=overwrite, directory=False)
    with _claimed(target, "partial" + target.suffix, _create, path) as temporary:
        temporary.unlink()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a folder while the block runs; a process that dies releases the lock.

    On file systems without locks, this does nothing.

    Raises:
        TemporemError: another process holds it.
    """
    try:
        guard = lock(folder)
    except BlockingIOError:
        raise TemporemError(
            f"{folder} is being written by another process",
            hint="wait until that has ended, or stop it",
        ) from None
    try:
        yield
    finally:
        release(guard)


def disk_error(error: Exception, path: str | Path, needed: int | None = None) -> TemporemError:
    """Describe in one line which file could not be written, why, and the free space.

    Args:
        error: an ``OSError``, or an error of another library that ends in ``(os error 28)``.
        path: the file or folder that was to be written.
        needed: its size, bytes.
    """
    path = final_name(Path(path))
    number, reason = _cause(error)
    expected = None if number in _HINTS else "a folder that can be written to"
    if number in _NO_ROOM:
        folder, free = _free_bytes(path)
        room = f"{readable_size(needed)} of room" if needed else "more room"
        expected = f"{room} in {folder}, whose disk has {readable_size(free)} free"
    return TemporemError(
        f"cannot write {path}: {reason}",
        expected=expected,
        hint=_HINTS.get(number, "choose another name or mend the folder's permissions"),
    )


def is_disk_failure(error: Exception) -> bool:
    """Tell an error of the disk itself (full, failing, read-only) from one about a file."""
    return _cause(error)[0] in {*_NO_ROOM, errno.EIO, errno.EROFS}


def readable_size(n_bytes: int) -> str:
    """Write a number of bytes in the unit that suits it."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes} bytes"


def _checked_target(path: str | Path, *, overwrite: bool, directory: bool) -> Path:
    """Return where ``path`` really is (links followed) after checking that it may be written."""
    target = Path(os.path.realpath(path))
    try:
        if directory:
            adopt_leftovers(target)
        exists = target.exists()
    except OSError as error:
        raise disk_error(error, path) from error
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


@contextmanager
def _claimed(
    target: Path, suffix: str, create: Callable[[Path], None], path: str | Path
) -> Iterator[Path]:
    """Create a sibling of ``target`` and keep it locked, so that no other process removes it."""
    while True:
        temporary = sibling(target, suffix)
        try:
            create(temporary)
            guard = lock(temporary)
        except BlockingIOError:
            continue  # another process took it for a leftover before it was locked
        except OSError as error:
            raise disk_error(error, path) from error
        if os.path.lexists(temporary):
            break
        release(guard)
    try:
        yield temporary
    finally:
        release(guard)


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _rename_into_place(temporary: Path, target: Path, path: str | Path, *, overwrite: bool) -> None:
    if not target.exists():
        os.rename(temporary, target)
        sync(target.parent)
    elif not overwrite:  # it appeared while the block ran
        raise _exists(path)
    elif target.is_file():
        os.replace(temporary, target)
        sync(target.parent)
    else:
        # No call swaps two directories on every system, so the old one steps aside first.
        aside = sibling(target, "old")
        with held(target):
            try:
                os.rename(target, aside)
                os.rename(temporary, target)
                sync(target.parent)
            finally:
                if not target.exists():
                    os.rename(aside, target)
                elif aside.exists():  # under the other name nobody puts it back half removed
                    os.rename(aside, temporary)


def _cause(error: Exception) -> tuple[int, str]:
    """Find the system's number and words for an error."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        found = re.search(r"\(os error (\d+)\)", str(error))  # as Rust writes it
        if found is not None:
            number = int(found[1])
        elif re.search(r"\d+ requested and \d+ written", str(error)):  # as numpy writes it
            number = errno.ENOSPC
    return (0, str(error)) if number is None else (number, os.strerror(number))


def _free_bytes(path: Path) -> tuple[Path, int]:
    """Return the folder of a path that is not there yet, and the room on its disk."""
    folder = Path(os.path.realpath(path)).parent
    while not folder.is_dir():
        folder = folder.parent
    return folder, shutil.disk_usage(folder).free


def _exists(path: str | Path) -> TemporemError:
    return TemporemError(f"{path} exists", hint="choose another name or pass --overwrite")


@contextmanager
def _errors_name(path: str | Path, temporary: Path, needed: int | None = None) -> Iterator[None]:
    """Turn errors of writing ``temporary`` into one line that names ``path``."""
    try:
        yield
    except OSError as error:
        if error.filename is None and is_disk_failure(error):
            raise disk_error(error, path, needed) from error
        name = Path(os.fsdecode(error.filename)) if error.filename is not None else None
        if name is not None and name.is_relative_to(temporary):
            raise disk_error(error, Path(path) / name.relative_to(temporary), needed) from error
        raise
