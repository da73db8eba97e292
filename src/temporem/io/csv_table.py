"""Tables with commas between values and one line of names above."""

from __future__ import annotations

import csv
from pathlib import Path

from temporem.errors import TemporemError
from temporem.io.star import StarTable
from temporem.io.star_reader import TextColumns

MAX_CSV_BYTES = 2**28
"""Larger files are refused: a million rows take about a fifth of this."""

_MOST_COLUMNS = 1000
_MOST_ROWS = 10**7


def read_csv(path: str | Path) -> StarTable:
    """Read a CSV file as a table of texts; spaces around values are dropped.

    Raises:
        TemporemError: no such file, not text, larger than ``MAX_CSV_BYTES``, without rows, with a
            name twice, or with a row of more or fewer values than names.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise TemporemError(f"{path} is not a file", expected="a CSV file")
        if path.stat().st_size > MAX_CSV_BYTES:
            raise TemporemError(f"{path} is larger than {MAX_CSV_BYTES >> 20} MiB")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, skipinitialspace=True, strict=True)
            names = [name.strip() for name in next(rows, [])]
            _check_names(path, names)
            columns = TextColumns(names)
            for row in rows:
                if not row:
                    continue
                if len(row) != len(names):
                    raise TemporemError(
                        f"{path}: line {rows.line_num} has {len(row)} values",
                        expected=f"{len(names)}, one for each name in the first line",
                    )
                columns.add([value.strip() for value in row])
                if columns.n_rows > _MOST_ROWS:
                    raise TemporemError(f"{path} has more than {_MOST_ROWS:,} rows")
    except OSError as error:
        raise TemporemError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TemporemError(f"{path} is not a CSV file ({error})", expected="text") from None
    if not columns.n_rows:
        raise TemporemError(f"{path} has no rows", expected="one row for each image")
    return StarTable(columns.columns(), where=str(path), mark="")


def _check_names(path: Path, names: list[str]) -> None:
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise TemporemError(
                f"{path} has {word} between its values",
                expected="commas, and points in numbers",
                hint="save it again with commas; spreadsheets ask for the separator",
            )
    usable = all(name and name.isprintable() and len(name) < 100 for name in names)
    if not names or not usable or len(names) > _MOST_COLUMNS or len(set(names)) < len(names):
        raise TemporemError(
            f"{path} has no usable first line", expected="names of columns, each once"
        )
