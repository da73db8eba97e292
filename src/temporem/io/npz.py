"""Read ``.npz`` files of unknown origin: arrays of the expected kind and shape, no pickle."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError

_DAMAGED = (
    *(EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error),
    *(SyntaxError, tokenize.TokenError),  # numpy's headers are Python text
    *(MemoryError, NotImplementedError, OverflowError, RuntimeError),
)
_MOST_BYTES = 2**33  # unpacked
_MOST_COMPRESSION, _SMALL_BYTES = 20, 2**27  # a small file may unpack to any number of bytes
_WORDS = {"f": "float64", "i": "int64", "b": "bool", "U": "text"}


class NpzFile:
    """Arrays in a file, checked as they are taken.

    Args:
        path: the file.
        what: the kind of file that is expected, for messages.
        hint: what to do about a damaged file, for messages.

    Raises:
        TemporemError: no such file, a damaged one, or one of other contents.
    """

    def __init__(self, path: Path, *, what: str, hint: str) -> None:
        self.path = path
        self.hint = hint
        if not path.is_file():
            raise TemporemError(f"no file {path}", expected=what, hint=hint)
        try:
            if not zipfile.is_zipfile(path):  # else numpy takes it for an array or a pickle
                raise zipfile.BadZipFile
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(part.file_size for part in archive.infolist())
                honest = _SMALL_BYTES + _MOST_COMPRESSION * path.stat().st_size
                if unpacked > min(_MOST_BYTES, honest):
                    raise MemoryError
            with np.load(path, allow_pickle=False) as arrays:
                self._arrays = {name: _array(arrays[name], name) for name in arrays}
        except OSError as error:
            raise TemporemError(f"cannot read {path}: {error.strerror or error}") from error
        except _DAMAGED as error:
            raise TemporemError(
                f"cannot read {path}: damaged, or not an .npz file of numbers and text",
                expected=what,
                hint=hint,
            ) from error

    @property
    def names(self) -> list[str]:
        """Names of all arrays."""
        return list(self._arrays)

    def take(self, name: str, kinds: str, *shape: int | None) -> np.ndarray:
        """Return an array of one of some kinds (numpy's letters) and a shape; None is any length.

        Raises:
            TemporemError: there is no such array, or it has another kind or shape.
        """
        array = self._arrays.get(name)
        if (
            not isinstance(array, np.ndarray)
            or array.dtype.kind not in kinds
            or array.ndim != len(shape)
            or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True))
        ):
            axes = " x ".join("any number" if n is None else str(n) for n in shape)
            found = "nothing" if array is None else "no array"
            if isinstance(array, np.ndarray):
                found = f"{array.dtype} of shape {array.shape}"
            raise self.refusal(name, found, f"{_WORDS[kinds[0]]} of shape {axes or '()'}")
        return array

    def numbers(self, name: str, dtype: str, *shape: int | None) -> np.ndarray:
        """Take an array of finite numbers, as numpy's ``dtype`` in this machine's byte order.

        Raises:
            TemporemError: as :meth:`take`, or a number is not finite.
        """
        array = self.take(name, np.dtype(dtype).kind, *shape)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self.refusal(name, "not finite everywhere", "finite numbers")
        return array.astype(dtype, copy=False)

    def refusal(self, name: str, found: str, expected: str) -> TemporemError:
        """Make the error about an array that is not valid."""
        message = f"cannot read {self.path}: {name} is {found}"
        return TemporemError(message, expected=expected, hint=self.hint)


def _array(entry: object, name: str) -> np.ndarray:
    """Return an entry that is an array; numpy hands out the bytes of any other."""
    if not isinstance(entry, np.ndarray):
        raise ValueError(f"{name} is not an array")
    return entry
