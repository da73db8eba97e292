"""Find the stacks that a table names, wherever the table was copied to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from temporem.errors import TemporemError

_MOST_LEVELS = 12  # of folders above the table
_LONGEST_PATH = 4096  # characters


def find_stacks(names: Sequence[str], table: Path, data_dir: Path | None) -> list[Path]:
    """Find stacks by the names in a table, which are relative to the root of a project.

    The root is ``data_dir`` if that is given. Else it is the nearest folder above the table in
    which the first name is found. Where a name's folders are gone, the file beside the table
    serves. All names are looked up in one folder, so that no two of them come from two projects.

    Args:
        names: as they stand in the table.
        table: the file that names them.
        data_dir: the root of the project; it must hold all of them, also after links.

    Raises:
        TemporemError: a stack is missing, or leaves the root of the project.
    """
    for name in names:
        if not 0 < len(name) < _LONGEST_PATH or not name.isprintable():
            raise TemporemError(
                f"{table} names the stack {name[:200]!a}", expected="a path of printable text"
            )
    paths = [PurePosixPath(name.replace("\\", "/").removeprefix(">")) for name in names]
    beside = table.resolve().parent
    above = [beside, *beside.parents][:-1][:_MOST_LEVELS]  # never the root of the disk
    roots = above if data_dir is None else [data_dir]
    for root in roots:
        if _is_file(root / paths[0]):
            return [_inside(root, path, table, data_dir) for path in paths]
    flat = data_dir or beside
    if _is_file(flat / paths[0].name):
        if len({path.name for path in paths}) < len(paths):
            raise TemporemError(
                f"{table}: two stacks have the same file name in different folders",
                expected="their folders",
                hint="pass --datadir, the folder that the names are relative to",
            )
        return [_inside(flat, PurePosixPath(path.name), table, data_dir) for path in paths]
    where = f"in {data_dir}" if data_dir is not None else f"in {beside} or a folder above it"
    raise TemporemError(
        f"{table}: the stack {names[0]} is not {where}",
        expected="the images that the table names",
        hint="pass --datadir, the folder that the names are relative to",
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _inside(root: Path, path: PurePosixPath, table: Path, data_dir: Path | None) -> Path:
    """The file. No ``..``, absolute name or link takes it out of the project unasked.

    A user who names the folder of the data has looked at it, so its links are followed.
    """
    found = root / path
    if not _is_file(found):
        raise TemporemError(
            f"{table}: there is no stack {found}",
            expected="the images that the table names",
            hint="pass --datadir, the folder that the names are relative to",
        )
    named_outside = path.is_absolute() or ".." in path.parts
    looked_at = data_dir is not None and not named_outside
    if not looked_at and not found.resolve().is_relative_to(root.resolve()):
        how = "leaves" if named_outside else "is a link that leaves"
        raise TemporemError(
            f"{table}: the stack {path} {how} {root}",
            expected="a stack in the folder of the project",
            hint="pass --datadir, a folder that holds all stacks",
        )
    return found
