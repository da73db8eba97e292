"""Read small text files of unknown origin."""

from __future__ import annotations

from pathlib import Path

from temporem.errors import TemporemError
from temporem.io.signatures import refuse_foreign


def read_text(path: Path, *, most_bytes: int) -> str:
    """Read a whole text file.

    Raises:
        TemporemError: the path is missing, no file (a pipe would keep the reader waiting), larger
            than ``most_bytes``, not readable or not UTF-8.
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "no such file"
        raise TemporemError(f"{path}: {what}", expected="a text file")
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise TemporemError(f"{path}: not readable ({error.strerror})") from None
    except UnicodeDecodeError:
        refuse_foreign(path, expected="a text file")
        raise TemporemError(f"{path}: not text", expected="a text file in UTF-8") from None
    if len(content) > most_bytes:
        raise TemporemError(
            f"{path}: too large", expected=f"a text file of up to {most_bytes:,} bytes"
        )
    return text
