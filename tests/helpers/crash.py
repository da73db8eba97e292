"""Crashes and power cuts at every change of the file system, played in child processes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link"}
_CRASHED = 77


def crashes(action: Callable[[], object]) -> Iterator[int]:
    """Run ``action`` in a child that dies before its first change of the file system, its second …

    Yields after every death. The last child lives to the end of the action.
    """
    for n in range(1, 1000):
        code = _in_child(lambda n=n: _die_before(n, action))
        if code != _CRASHED:
            assert code == 0
            return
        yield n
    raise AssertionError("the action never ends")


def power_cuts(action: Callable[[], object], folder: Path, images: Path) -> list[Path]:
    """Copies of ``folder`` as a disk may hold it after a power cut at any moment of ``action``.

    What is in the folder before counts as synced. Two copies for every moment: one has only what
    was synced, the other has all names, too, but no content that was not synced.
    """
    images.mkdir()
    assert _in_child(lambda: _record(action, folder, images)) == 0
    return sorted(images.iterdir())


def _in_child(action: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException as error:
            print(f"in the child: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _before_each_change(react: Callable[[], None]) -> None:
    """Have ``react`` called; for the rest of the process, because audit hooks stay."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event in _CHANGES or writes:
            react()

    sys.addaudithook(hook)


def _die_before(n: int, action: Callable[[], object]) -> None:
    changes = 0

    def count() -> None:
        nonlocal changes
        changes += 1
        if changes == n:
            os._exit(_CRASHED)

    _before_each_change(count)
    action()


def _record(action: Callable[[], object], folder: Path, images: Path) -> None:
    disk = _Disk(folder, images)
    _before_each_change(disk.cut)
    os.fsync = disk.sync
    action()
    disk.cut()


class _Disk:
    """Content of files and names in folders that were synced, by inode."""

    def __init__(self, folder: Path, images: Path) -> None:
        self.folder = folder
        self.images = images
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, int]] = {}
        self.pins: dict[int, int] = {}  # open files, so that no inode number is used again
        self.n_cuts = 0
        self.cutting = False
        for path in [folder, *folder.rglob("*")]:
            self.sync(os.open(path, os.O_RDONLY))

    def sync(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            names = os.listdir(descriptor)
            found = {name: os.stat(name, dir_fd=descriptor).st_ino for name in names}
            self.folders[status.st_ino] = found
        else:
            self.files[status.st_ino] = os.pread(descriptor, status.st_size, 0)

    def cut(self) -> None:
        if self.cutting:
            return
        self.cutting = True
        self._pin()
        image = self.images / f"{self.n_cuts:03d}"
        self._restore(self.folder.stat().st_ino, Path(f"{image}-synced"))
        self._restore_names(self.folder, Path(f"{image}-names"))
        self.n_cuts += 1
        self.cutting = False

    def _pin(self) -> None:
        for path in self.folder.rglob("*"):
            inode = path.stat().st_ino
            if inode not in self.pins:
                self.pins[inode] = os.open(path, os.O_RDONLY)

    def _restore(self, inode: int, path: Path) -> None:
        is_folder = inode in self.folders or (
            inode in self.pins and stat.S_ISDIR(os.fstat(self.pins[inode]).st_mode)
        )
        if is_folder:
            path.mkdir()
            for name, child in self.folders.get(inode, {}).items():
                self._restore(child, path / name)
        else:
            path.write_bytes(self.files.get(inode, b""))

    def _restore_names(self, source: Path, path: Path) -> None:
        if source.is_dir():
            path.mkdir()
            for child in source.iterdir():
                self._restore_names(child, path / child.name)
        else:
            path.write_bytes(self.files.get(source.stat().st_ino, b""))
