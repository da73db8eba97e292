"""Read the text of a STAR file (Hall 1991) as RELION writes it: one row of a loop per line.

Lines are read one by one and values kept as compact text, so that memory stays near the size of
the file, and a wrong row is named by its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from temporem.errors import TemporemError

Columns = dict[str, np.ndarray]
"""Name without the leading underscore → N texts (``StringDType``)."""

_LONGEST_LINE = 2**20
_ROWS_AT_A_TIME = 10_000

TOKEN = re.compile(
    r"""'(?P<single>.*?)'(?![^ \t])"""  # a mark inside a value is followed by more of it
    r"""|"(?P<double>.*?)"(?![^ \t])"""
    r"""|(?P<comment>\#.*)"""
    r"""|(?P<plain>[^ \t]+)"""
)
_KEYWORDS = ("data_", "loop_", "save_", "stop_", "global_")


def read_blocks(file: TextIO, path: Path) -> dict[str, Columns]:
    """Read the blocks of a STAR file by name without ``data_``.

    A block holds one loop or, as RELION's ``data_general``, pairs of name and value, which become
    columns of one row.

    Raises:
        TemporemError: not a STAR file; the message names the line.
    """
    return _Reader(file, path).read()


class _Reader:
    """Blocks read so far and the one that is being read."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self.file = file
        self.path = path
        self.line_number = 0
        self.blocks: dict[str, Columns] = {}
        self.name: str | None = None
        self.pairs: dict[str, list[str]] = {}
        self.loop: TextColumns | None = None

    def read(self) -> dict[str, Columns]:
        for line in self._lines():
            tokens = self._tokens(line)
            if tokens:
                self._take(tokens)
        if self.name is None:
            raise TemporemError(f"{self.path} holds no data block", expected="a STAR file")
        self._end_block()
        return self.blocks

    def _lines(self) -> Iterator[str]:
        while line := self.file.readline(_LONGEST_LINE):
            self.line_number += 1
            if len(line) == _LONGEST_LINE:
                raise self._error(f"more than {_LONGEST_LINE} characters")
            if line.startswith(";"):
                raise self._error("text over several lines", "every value on one line")
            yield line.rstrip("\n")

    def _tokens(self, line: str) -> list[tuple[str, bool]]:
        """Split a line into values, each with whether it stood in quotation marks."""
        if line.isascii() and not any(mark in line for mark in "'\"#"):
            return [(text, False) for text in line.split()]
        tokens = []
        for found in TOKEN.finditer(line):
            if found["comment"] is not None:
                break
            plain = found["plain"]
            if plain is not None and plain[0] in "'\"":
                raise self._error(f"the quotation mark of {plain[:40]} is not closed")
            quoted = found["single"] if found["double"] is None else found["double"]
            tokens.append((plain, False) if plain is not None else (quoted, True))
        return tokens

    def _take(self, tokens: list[tuple[str, bool]]) -> None:
        first, quoted = tokens[0]
        if len(tokens) == 1 and not quoted and first.lower().startswith(_KEYWORDS):
            self._take_keyword(first)
        elif self.name is None:
            raise self._error(f"'{first[:40]}' stands before the first data_ line", "a STAR file")
        elif not quoted and first.startswith("_"):
            self._take_name(first[1:], [text for text, _ in tokens[1:]])
        elif self.loop is None:
            raise self._error(f"'{first[:40]}' follows no name", "_name value")
        else:
            self._take_row([text for text, _ in tokens])

    def _take_keyword(self, word: str) -> None:
        kind = word.lower()
        if kind.startswith("data_"):
            self._end_block()
            self.name = word[5:]
            if self.name in self.blocks:
                raise self._error(f"duplicate block name data_{self.name}", "each block once")
        elif kind == "loop_" and self.name is not None:
            if self.pairs or self.loop is not None:
                raise self._error("several tables in a data block", "one table per data block")
            self.loop = TextColumns()
        else:
            raise self._error(f"'{word[:40]}' is out of place", "a STAR file")

    def _take_name(self, name: str, values: list[str]) -> None:
        if self.loop is None:
            if len(values) != 1:
                raise self._error(f"_{name} has {_count(values)}", "_name value")
            if name in self.pairs:
                raise self._error(f"duplicate tag _{name}", "each name once")
            self.pairs[name] = values
        elif self.loop.n_rows:
            raise self._error("several tables in a data block", "one table per data block")
        elif values:
            raise self._error(f"'{values[0][:40]}' follows the name of a column", "_name")
        elif name in self.loop.names:
            raise self._error(f"duplicate tag _{name}", "each column once")
        else:
            self.loop.names.append(name)

    def _take_row(self, values: list[str]) -> None:
        assert self.loop is not None
        width = len(self.loop.names)
        if len(values) != width:
            cut = len(values) < width and not self.file.read().strip()
            raise self._error(
                f"row {self.loop.n_rows} (counted from 0) of data_{self.name} has {_count(values)}",
                f"{width}, one for each column",
                "the file ends here; it may be cut short: copy it again"
                if cut
                else "put values that hold spaces in quotation marks",
            )
        self.loop.add(values)

    def _end_block(self) -> None:
        if self.name is None:
            return
        if self.loop is not None and not self.loop.names:
            raise self._error(f"the loop of data_{self.name} has no columns", "a STAR file")
        pairs = {name: _texts(values) for name, values in self.pairs.items()}
        self.blocks[self.name] = pairs if self.loop is None else self.loop.columns()
        self.name, self.pairs, self.loop = None, {}, None

    def _error(
        self, what: str, expected: str | None = None, hint: str | None = None
    ) -> TemporemError:
        where = f"{self.path}: line {self.line_number}"
        return TemporemError(f"{where}: {what}", expected=expected, hint=hint)


class TextColumns:
    """Columns of compact text, made of parts of some thousand rows.

    Args:
        names: of the columns; names may be added before the first row.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = list(names)
        self.n_rows = 0
        self.rows: list[list[str]] = []
        self.parts: list[list[np.ndarray]] = []

    def add(self, row: list[str]) -> None:
        """Add a value for each column."""
        self.rows.append(row)
        self.n_rows += 1
        if len(self.rows) == _ROWS_AT_A_TIME:
            self._flush()

    def columns(self) -> Columns:
        """All columns; the parts are emptied."""
        self._flush()
        columns = {}
        for i, name in enumerate(self.names):
            columns[name] = np.concatenate([_texts([]), *(part[i] for part in self.parts)])
            for part in self.parts:
                part[i] = _texts([])
        return columns

    def _flush(self) -> None:
        if self.rows:
            self.parts.append([_texts(values) for values in zip(*self.rows, strict=True)])
            self.rows = []


def _texts(values: list[str] | tuple[str, ...]) -> np.ndarray:
    return np.array(values, dtype=np.dtypes.StringDType())


def _count(values: list[str]) -> str:
    return "1 value" if len(values) == 1 else f"{len(values)} values"
