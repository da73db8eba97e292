"""STAR files, the tables that RELION keeps its metadata in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from gemmi import cif

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.io.limits import Limits

MAX_STAR_BYTES = 2**30
"""Larger files are refused: a million particles take about a third of this."""

_LONGEST_NUMBER = 100  # characters; an array of texts has room for the longest in every row

_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9+\-/.@][\w+\-/.@:,=~%]*", re.ASCII)
_RESERVED = ("data_", "loop_", "save_", "stop_", "global_")


class Table(Mapping[str, Sequence[str] | np.ndarray]):
    """Columns of equal length, by name without the leading underscore.

    Args:
        columns: column name → N values. Strings as read from a file, or arrays to be written.
        where: what error messages call the table, such as ``"particles.star: data_optics"``.
    """

    def __init__(
        self, columns: Mapping[str, Sequence[str] | np.ndarray], *, where: str = "table"
    ) -> None:
        self._columns = dict(columns)
        self.where = where
        lengths = {len(values) for values in self._columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"{where}: columns differ in length: {sorted(lengths)}")
        self.n_rows = lengths.pop() if lengths else 0

    def __getitem__(self, column: str) -> Sequence[str] | np.ndarray:
        return self._columns[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def require(self, *columns: str) -> None:
        """Raise a TemporemError that names every one of ``columns`` that is missing."""
        missing = [column for column in columns if column not in self._columns]
        if missing:
            raise TemporemError(
                f"{self.where} lacks {' and '.join('_' + column for column in missing)}",
                expected=f"the columns {', '.join('_' + column for column in columns)}",
            )

    def strings(self, column: str) -> list[str]:
        """Column as N strings."""
        self.require(column)
        return [str(value) for value in self._columns[column]]

    def floats(
        self, column: str, *, default: float | None = None, limits: Limits | None = None
    ) -> np.ndarray:
        """Column as float64 ``(N,)``, every value finite and within ``limits``.

        ``default`` where there is no column.
        """
        if default is not None and column not in self._columns:
            return np.full(self.n_rows, default)
        values = self._numbers(column, np.float64, "a number")
        self.check(column, np.isfinite(values), "a finite number")
        if limits is not None:
            self.check(column, limits.hold(values), f"a number from {limits}")
        return values

    def ints(self, column: str) -> np.ndarray:
        """Column as int64 ``(N,)``."""
        return self._numbers(column, np.int64, "a whole number")

    def check(self, column: str, valid: np.ndarray, expected: str) -> None:
        """Raise a TemporemError about the first row where ``valid (N,)`` is false."""
        if not valid.all():
            row = int(np.argmin(valid))
            value = str(self._columns[column][row])
            shown = f"'{value}'" if value.isprintable() else ascii(value)
            raise TemporemError(
                f"{self.where} row {row} (counted from 0): _{column} is {shown}",
                expected=expected,
            )

    def _numbers(self, column: str, dtype: type, expected: str) -> np.ndarray:
        strings = self.strings(column)
        # Python reads 1_0 as 10, no other program does.
        short = [len(text) < _LONGEST_NUMBER and "_" not in text for text in strings]
        self.check(column, np.array(short, dtype=bool), expected)
        texts = np.array(strings, dtype=str)
        try:
            return texts.astype(dtype)
        except (ValueError, OverflowError):
            self.check(column, np.array([_converts(text, dtype) for text in texts]), expected)
            raise


def read_star(path: str | Path) -> dict[str, Table]:
    """Read a STAR file: block name without ``data_`` → :class:`Table` of strings.

    A block is one loop or, as in RELION's ``data_general``, pairs of name and value, which become
    a table of one row. Block names may be empty, as RELION 3.0 leaves them.

    Raises:
        TemporemError: no such file, not a STAR file, larger than ``MAX_STAR_BYTES``, or a block of
            several tables.
    """
    path = Path(path)
    document = _parse(path, _read_text(path))
    return {block.name.strip(): _read_block(path, block) for block in document}


def write_star(path: str | Path, blocks: Mapping[str, Table]) -> None:
    """Write ``blocks`` as RELION 3.1 writes them, one aligned loop per block.

    Numbers are written with the fewest digits that read back as exactly the same number.

    Raises:
        TemporemError: a string that a STAR file cannot hold; see :func:`fresh_directory` for the
            errors of a path that cannot be written.
    """
    with atomic_write(path) as temporary:
        text = "".join(_format_block(name, table) for name, table in blocks.items())
        temporary.write_text(text, encoding="utf-8", newline="\n")


def fits_one_line(text: str) -> bool:
    """Whether a table can hold a text: printable, without both kinds of quotation mark."""
    return text.isprintable() and "\n" not in cif.quote(text)


def _converts(text: np.str_, dtype: type) -> bool:
    try:
        text.astype(dtype)
    except (ValueError, OverflowError):
        return False
    return True


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise TemporemError(f"{path} is not a file", expected="a STAR file")
        if path.stat().st_size > MAX_STAR_BYTES:
            raise TemporemError(
                f"{path} is larger than {MAX_STAR_BYTES >> 20} MiB", hint="split it into parts"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TemporemError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TemporemError(f"{path} is not text", expected="a STAR file") from error


def _parse(path: Path, text: str) -> cif.Document:
    try:
        document = cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        # gemmi says "string:LINE:COLUMN(OFFSET): reason" or "string: reason"
        reason = re.sub(r"^string:(\d+)[^ ]*", r"line \1:", str(error)).removeprefix("string: ")
        ascii_only = "put values with characters outside ASCII in quotation marks"
        raise TemporemError(
            f"{path}: {reason}",
            expected="a STAR file",
            hint=None if text.isascii() else ascii_only,
        ) from error
    if len(document) == 0:
        raise TemporemError(f"{path} holds no data block", expected="a STAR file")
    return document


def _read_block(path: Path, block: cif.Block) -> Table:
    where = f"{path}: data_{block.name.strip()}"
    loops = [item.loop for item in block if item.loop is not None]
    pairs = [cast("Sequence[str]", item.pair) for item in block if item.pair is not None]
    if len(loops) + bool(pairs) > 1:
        raise TemporemError(f"{where} holds several tables", expected="one table per data block")
    if not loops:
        return Table({name[1:]: _unquote([value]) for name, value in pairs}, where=where)
    values, width = loops[0].values, loops[0].width()
    columns = {tag[1:]: _unquote(values[i::width]) for i, tag in enumerate(loops[0].tags)}
    return Table(columns, where=where)


def _unquote(values: list[str]) -> list[str]:
    # as_string would turn the null values "?" and "." into nothing.
    return [cif.as_string(value) if value[0] in "'\";" else value for value in values]


def _format_block(name: str, table: Table) -> str:
    columns = [_format_column(table, column) for column in table]
    header = [f"_{column} #{i}" for i, column in enumerate(table, start=1)]
    rows = [" ".join(row) for row in zip(*columns, strict=True)]
    lines = ["", "# version 30001", "", f"data_{name}", "", "loop_", *header, *rows, ""]
    return "\n".join(lines) + "\n"


def _format_column(table: Table, column: str) -> list[str]:
    values = np.asarray(table[column])
    if values.dtype.kind in "iuf":
        texts = values.astype(str).tolist()  # numpy prints the shortest text that reads back
    else:
        texts = [_quote(str(value), table, column) for value in values]
    width = max(map(len, texts), default=0)
    return [text.rjust(width) for text in texts]


def _quote(value: str, table: Table, column: str) -> str:
    if _PLAIN_TOKEN.fullmatch(value) and not value.lower().startswith(_RESERVED):
        return value
    if not fits_one_line(value):
        raise TemporemError(
            f"{table.where}: _{column} cannot hold {value!r}",
            expected="one line of text without both kinds of quotation mark",
        )
    return cif.quote(value)
