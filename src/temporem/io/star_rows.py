"""Rows of a STAR file, copied with all else as it stands: comments, other tables, spacing.

Writing a parsed table again would lose what tells RELION the version of a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.io.star import read_star
from temporem.io.star_reader import TOKEN

PARTICLE_COLUMN = "rlnImageName"
"""The table that has this column is that of the particles."""


def particles_block(path: Path) -> str:
    """Find the block of a STAR file that lists particles, whatever its name.

    Raises:
        TemporemError: no such file, not a STAR file, or no or several such blocks.
    """
    blocks = [name for name, table in read_star(path).items() if PARTICLE_COLUMN in table]
    if len(blocks) != 1:
        found = "no table" if not blocks else f"{len(blocks)} tables"
        raise TemporemError(
            f"{path} has {found} with the column _{PARTICLE_COLUMN}",
            expected="a STAR file with one table of particles",
        )
    return blocks[0]


def copy_rows(
    source: Path,
    out: Path,
    rows: np.ndarray,
    *,
    block: str,
    columns: Mapping[str, Sequence[str]] | None = None,
    overwrite: bool = False,
) -> None:
    """Copy a STAR file with only some rows of one table.

    Args:
        source: the file, which :func:`temporem.io.star.read_star` accepts. The table is a loop.
        out: the file to write.
        rows: rows to keep, counted from 0, ascending, ``(N,)``.
        block: name of the table without ``data_``.
        columns: new values of columns by name, N each. A column that the table lacks is added
            behind the others.
        overwrite: replace a file that exists.

    Raises:
        TemporemError: the file exists, or the disk is full.
    """
    with (
        atomic_write(out, overwrite=overwrite, needed=source.stat().st_size) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as written,
        source.open(encoding="utf-8-sig", newline="") as file,
    ):
        copier = _Copier(block, rows, dict(columns or {}))
        for line in file:
            written.writelines(copier.copy(line))


@dataclass
class _Copier:
    """Copies a file line by line."""

    block: str
    rows: np.ndarray
    columns: dict[str, Sequence[str]]

    def __post_init__(self) -> None:
        self.inside = False  # the table to filter
        self.names: list[str] = []
        self.in_rows = False
        self.row = self.kept = 0

    def copy(self, line: str) -> Iterator[str]:
        word, *others = line.split(None, 1) or [""]
        alone = not others or others[0].startswith("#")
        if alone and word.lower().startswith("data_"):
            self.inside = word[5:] == self.block
        in_table = self.inside and word and not word.startswith("#")
        if not in_table or (alone and word.lower().startswith(("data_", "loop_"))):
            yield line
        elif word.startswith("_") and not self.in_rows:
            self.names.append(word[1:])
            yield line
        else:
            if not self.in_rows:
                self.in_rows = True
                yield from self._new_names(line)
            yield from self._row(line)

    def _new_names(self, line: str) -> Iterator[str]:
        ending = _ending(line)
        for name in [name for name in self.columns if name not in self.names]:
            self.names.append(name)
            yield f"_{name} #{len(self.names)}{ending}"

    def _row(self, line: str) -> Iterator[str]:
        wanted = self.kept < len(self.rows) and self.row == self.rows[self.kept]
        self.row += 1
        if not wanted:
            return
        yield self._changed(line) if self.columns else line
        self.kept += 1

    def _changed(self, line: str) -> str:
        """The row with new values, each as wide as the old one where it fits."""
        body, ending = line.rstrip("\r\n"), _ending(line)
        spans = [found.span() for found in TOKEN.finditer(body) if found["comment"] is None]
        last = spans[-1][1]
        added = [self.columns[name][self.kept] for name in self.names[len(spans) :]]
        body = " ".join([body[:last], *added]) + body[last:]
        for index in reversed(range(len(spans))):
            values = self.columns.get(self.names[index])
            if values is not None:
                start, end = spans[index]
                body = body[:start] + values[self.kept].rjust(end - start) + body[end:]
        return body + ending


def _ending(line: str) -> str:
    return "\r\n" if line.endswith("\r\n") else "\n"
