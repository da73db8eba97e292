"""Files of latents that other programs write, and our own table of frames.

================== =========================================== ============================
file               latents                                     particles
================== =========================================== ============================
``z.N.pkl``        cryoDRGN                                    by the order of rows
``.npy``, ``.npz`` RECOVAR's ``latent_coords.npy``, any other  by the order of rows
``.cs``            cryoSPARC 3DVA, ``components_mode_0/value`` by uid
``.star``          ``temporemLatentMean1`` …                   by movie and frame
``.csv``           columns ``z1``, ``z2`` …                    by the order of rows
================== =========================================== ============================
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.cryosparc import UID, read_cs
from temporem.io.csv_table import read_csv
from temporem.io.npz import NpzFile
from temporem.io.restricted_pickle import read_arrays
from temporem.io.star import StarTable, read_star

FORMATS = (".pkl", ".npy", ".npz", ".cs", ".star", ".csv")

_HINT = "save the latents as an array with a row for each particle"
_NAMES = ("z", "zs", "latents", "latent_coords", "arr_0")
_MOST_NUMBERS = 10**9
_MOST_COLUMNS = 256
_COLUMNS = {
    ".cs": re.compile(r"components_mode_(\d+)/value"),
    ".star": re.compile(r"temporemLatentMean(\d+)"),
    ".csv": re.compile(r"z_?(\d+)", re.IGNORECASE),
}


@dataclass(frozen=True, eq=False)
class LatentFile:
    """Latents of the n particles that a file names.

    Attributes:
        path: the file.
        values: float64 ``(n, q)``.
        uids: cryoSPARC's numbers of the particles, ``(n,)``; None where the file has none.
        movies, numbers: movie and frame number of each; None where the file has none.
    """

    path: Path
    values: np.ndarray
    uids: np.ndarray | None = None
    movies: Sequence[str] | None = None
    numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)


def read_latent_file(path: str | Path) -> LatentFile:
    """Read the latents in a file of any of the formats above.

    Raises:
        TemporemError: no such file, another format, a damaged file, no latents, or latents that are
            not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise TemporemError(f"{path} is not a file", expected="a file of latents")
    match path.suffix.lower():
        case ".pkl":
            return _checked(path, read_arrays(path)[0])
        case ".npy":
            return _checked(path, _npy(path))
        case ".npz":
            return _checked(path, _npz(path))
        case ".cs":
            table = read_cs(path)
            names = _columns(path, table.fields)
            values = np.stack([table.numbers(name) for name in names], axis=1)
            uids = table.uids().astype(np.uint64) if UID in table else None
            return _checked(path, values, uids=uids)
        case ".star":
            return _of_star(path)
        case ".csv":
            return _checked(path, _texts(path, read_csv(path)))
    raise TemporemError(
        f"{path} has an unknown ending", expected=f"one of {', '.join(FORMATS)}", hint=_HINT
    )


def _of_star(path: Path) -> LatentFile:
    for table in read_star(path).values():
        if any(_COLUMNS[".star"].fullmatch(name) for name in table):
            return _checked(
                path,
                _texts(path, table),
                movies=table.strings("rlnParticleName"),
                numbers=table.ints("rlnMovieFrameNumber"),
            )
    raise TemporemError(f"{path} has no latents", expected="columns _temporemLatentMean1 …")


def _texts(path: Path, table: StarTable) -> np.ndarray:
    return np.stack([table.floats(name) for name in _columns(path, list(table))], axis=1)


def _columns(path: Path, names: Sequence[str]) -> list[str]:
    """Columns of latents in the order of their numbers."""
    pattern = _COLUMNS[path.suffix.lower()]
    found = {int(m[1]): name for name in names if (m := pattern.fullmatch(name))}
    if not found:
        examples = {".cs": "components_mode_0/value", ".csv": "z1", ".star": "temporemLatentMean1"}
        raise TemporemError(
            f"{path} has no latents",
            expected=f"columns such as {examples[path.suffix.lower()]}",
        )
    return [found[number] for number in sorted(found)]


def _npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise TemporemError(f"cannot read {path}: {error}", expected="a .npy file") from None
    if not isinstance(array, np.ndarray):
        raise TemporemError(f"{path} holds several arrays", expected="a .npy file")
    return array


def _npz(path: Path) -> np.ndarray:
    file = NpzFile(path, what="an .npz file of latents", hint=_HINT)
    known = [name for name in _NAMES if name in file.names] or file.names
    if len(known) != 1 and known[0] not in _NAMES:
        raise TemporemError(
            f"{path} holds {len(known)} arrays", expected=f"one of the name {_NAMES[0]}"
        )
    return file.take(known[0], "fiu", None, None)


def _checked(
    path: Path,
    values: np.ndarray,
    *,
    uids: np.ndarray | None = None,
    movies: Sequence[str] | None = None,
    numbers: np.ndarray | None = None,
) -> LatentFile:
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
        raise TemporemError(
            f"{path} holds {values.dtype} of shape {values.shape}",
            expected="numbers, one row for each particle",
            hint=_HINT,
        )
    if values.size > _MOST_NUMBERS or values.shape[1] > _MOST_COLUMNS:
        raise TemporemError(
            f"{path} holds {values.shape[0]:,} x {values.shape[1]:,} numbers",
            expected=f"up to {_MOST_COLUMNS} latents of each particle",
        )
    values = np.asarray(values, dtype=np.float64)
    good = np.isfinite(values).all(1) & (np.abs(values) < 1e18).all(1)
    if not good.all():
        raise TemporemError(
            f"{path} row {int(np.argmin(good))} (counted from 0) is not finite",
            expected="finite latents of every particle",
        )
    return LatentFile(path, values, uids, movies, numbers)
