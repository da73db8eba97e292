"""STAR files, the tables in which RELION keeps its metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.io.limits import Limits
from temporem.io.signatures import refuse_foreign
from temporem.io.star_reader import read_blocks

MAX_STAR_BYTES = 2**30
"""Larger files are refused: a million particles take about a third of this."""

_LONGEST_NUMBER = 100  # characters
_ROWS_AT_A_TIME = 10_000  # are aligned with one another

_TEXT = np.dtypes.StringDType()

_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9+\-/.@][\w+\-/.@:,=~%]*", re.ASCII)
_RESERVED = ("data_", "loop_", "save_", "stop_", "global_")


class StarTable(Mapping[str, Sequence[str] | np.ndarray]):
    """Columns of equal length by name, without the leading underscore.

    Args:
        columns: column name → N values: strings as read from a file, or arrays to be written.
        where: name of the table in messages, such as ``"particles.star: data_optics"``.
        rows: where each row stood in a larger table, for messages; ``(N,)``.
        mark: what stands before names of columns in messages.
    """

    def __init__(
        self,
        columns: Mapping[str, Sequence[str] | np.ndarray],
        *,
        where: str = "table",
        rows: np.ndarray | None = None,
        mark: str = "_",
    ) -> None:
        self._columns = dict(columns)
        self._rows = rows
        self._mark = mark
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

    def take(self, rows: np.ndarray) -> StarTable:
        """The table with some of its rows; messages name them as in the whole table."""
        columns = {name: np.asarray(self._columns[name])[rows] for name in self}
        kept = rows if self._rows is None else self._rows[rows]
        return StarTable(columns, where=self.where, rows=np.asarray(kept), mark=self._mark)

    def require(self, *columns: str) -> None:
        """Raise a TemporemError that names every one of ``columns`` that is missing."""
        missing = [column for column in columns if column not in self._columns]
        if missing:
            raise TemporemError(
                f"{self.where} lacks {' and '.join(self._mark + name for name in missing)}",
                expected=f"the columns {', '.join(self._mark + name for name in columns)}",
            )

    def texts(self, column: str) -> np.ndarray:
        """Return a column as ``StringDType`` ``(N,)``, which takes less memory than strings."""
        self.require(column)
        values = np.asarray(self._columns[column])
        return values if values.dtype.kind == "T" else np.array(self.strings(column), dtype=_TEXT)

    def strings(self, column: str) -> list[str]:
        """Return a column as N strings."""
        self.require(column)
        return [str(value) for value in self._columns[column]]

    def floats(
        self, column: str, *, default: float | None = None, limits: Limits | None = None
    ) -> np.ndarray:
        """Return a column as float64 ``(N,)``, every value finite and within ``limits``.

        A column that is not there is ``default``.
        """
        if default is not None and column not in self._columns:
            return np.full(self.n_rows, default)
        values = self._numbers(column, np.float64, "a number")
        self.check(column, np.isfinite(values), "a finite number")
        if limits is not None:
            self.check(column, limits.hold(values), f"a number from {limits}")
        return values

    def ints(self, column: str) -> np.ndarray:
        """Return a column as int64 ``(N,)``."""
        return self._numbers(column, np.int64, "a whole number")

    def check(self, column: str, valid: np.ndarray, expected: str) -> None:
        """Raise a TemporemError about the first row where ``valid (N,)`` is false."""
        if not valid.all():
            row = int(np.argmin(valid))
            value = str(self._columns[column][row])
            shown = f"'{value}'" if value.isprintable() else ascii(value)
            number = row if self._rows is None else int(self._rows[row])
            raise TemporemError(
                f"{self.where} row {number} (counted from 0): {self._mark}{column} is {shown}",
                expected=expected,
            )

    def _numbers(self, column: str, dtype: type, expected: str) -> np.ndarray:
        texts = self.texts(column)
        # Python reads 1_0 as 10, no other program does.
        short = (np.strings.str_len(texts) < _LONGEST_NUMBER) & (np.strings.find(texts, "_") < 0)
        self.check(column, short, expected)
        try:
            return texts.astype(dtype)
        except (ValueError, OverflowError):
            self.check(column, np.array([_converts(text, dtype) for text in texts]), expected)
            raise


def read_star(path: str | Path) -> dict[str, StarTable]:
    """Read a STAR file: block name without ``data_`` → :class:`StarTable` of strings.

    A block is one loop or, as in RELION's ``data_general``, pairs of name and value, which become
    a table of one row. Block names may be empty, as RELION 3.0 leaves them.

    Raises:
        TemporemError: no such file, not a STAR file, larger than ``MAX_STAR_BYTES``, or a block of
            several tables.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise TemporemError(f"{path} is not a file", expected="a STAR file")
        refuse_foreign(path, expected="a STAR file", but=("star",))
        if path.stat().st_size > MAX_STAR_BYTES:
            raise TemporemError(
                f"{path} is larger than {MAX_STAR_BYTES >> 20} MiB", hint="split it into parts"
            )
        with path.open(encoding="utf-8-sig") as file:
            blocks = read_blocks(file, path)
    except OSError as error:
        raise TemporemError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TemporemError(f"{path} is not text", expected="a STAR file") from error
    return {
        name: StarTable(columns, where=f"{path}: data_{name}") for name, columns in blocks.items()
    }


def write_star(path: str | Path, blocks: Mapping[str, StarTable]) -> None:
    """Write blocks as RELION 3.1 writes them, one aligned loop per block.

    Numbers are written with the fewest digits that read back as exactly the same number.

    Raises:
        TemporemError: a string that a STAR file cannot hold, or a path that cannot be written (see
            :func:`atomic_write`).
    """
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
    ):
        for name, table in blocks.items():
            tags = [f"_{column} #{i}" for i, column in enumerate(table, start=1)]
            head = ["", "# version 30001", "", f"data_{name}", "", "loop_", *tags]
            file.write("\n".join(head) + "\n")
            for start in range(0, table.n_rows, _ROWS_AT_A_TIME):
                file.write(_format_rows(table, start))
            file.write("\n")


def fits_one_line(text: str) -> bool:
    """Tell whether a table can hold a text: printable, without both kinds of quotation mark."""
    return text.isprintable() and not ("'" in text and '"' in text)


def _converts(text: str, dtype: type) -> bool:
    try:
        dtype(text)
    except (ValueError, OverflowError):
        return False
    return True


def _format_rows(table: StarTable, start: int) -> str:
    columns = [_format_column(table, column, start) for column in table]
    return "".join(" ".join(row) + "\n" for row in zip(*columns, strict=True))


def _format_column(table: StarTable, column: str, start: int) -> list[str]:
    values = np.asarray(table[column][start : start + _ROWS_AT_A_TIME])
    if values.dtype.kind in "iuf":
        texts = values.astype(str).tolist()  # numpy prints the shortest text that reads back
    else:
        texts = [_quote(str(value), table, column) for value in values]
    width = max(map(len, texts), default=0)
    return [text.rjust(width) for text in texts]


def _quote(value: str, table: StarTable, column: str) -> str:
    if _PLAIN_TOKEN.fullmatch(value) and not value.lower().startswith(_RESERVED):
        return value
    if not fits_one_line(value):
        raise TemporemError(
            f"{table.where}: _{column} cannot hold {value!r}",
            expected="one line of text without both kinds of quotation mark",
        )
    return f'"{value}"' if "'" in value else f"'{value}'"
