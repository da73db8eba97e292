"""Pickles of plain arrays, read without running what they name.

A pickle is a program. Only the few functions that rebuild a NumPy array are known here, so that a
file which asks for any other is refused before anything of it runs.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError

MAX_PICKLE_BYTES = 2**30
"""Larger files are refused: poses of a million particles take a tenth of this."""

_MOST_STEPS = 10**5
"""Steps of the program; arrays take some tens."""

_EXPECTED = "NumPy arrays and nothing else"


def read_arrays(path: str | Path) -> list[np.ndarray]:
    """Read the arrays of a pickle: one array, or a tuple or list of some.

    Raises:
        TemporemError: no such file, a damaged one, a larger one than ``MAX_PICKLE_BYTES``, or one
            that holds or names anything but numbers and their arrays.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise TemporemError(f"{path} is not a file", expected="a pickle of arrays")
        if path.stat().st_size > MAX_PICKLE_BYTES:
            raise TemporemError(f"{path} is larger than {MAX_PICKLE_BYTES >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise TemporemError(f"cannot read {path}: {error.strerror}") from error
    try:
        _require_small(content)
        loaded = _Unpickler(io.BytesIO(content)).load()
    except _NotAnArray as error:
        raise TemporemError(
            f"{path} asks for {error}, and a pickle may run any code",
            expected=_EXPECTED,
            hint="save the arrays with numpy.savez",
        ) from None
    except (MemoryError, RecursionError):
        raise TemporemError(f"{path} is damaged", expected=_EXPECTED) from None
    except Exception:  # bytes at random raise any of them
        raise TemporemError(f"{path} is damaged or no pickle", expected=_EXPECTED) from None
    items = list(loaded) if isinstance(loaded, tuple | list) else [loaded]
    if not items or not all(
        isinstance(item, np.ndarray) and item.dtype.kind in "fiu" for item in items
    ):
        raise TemporemError(f"{path} holds no arrays of numbers", expected=_EXPECTED)
    return items


def _require_small(content: bytes) -> None:
    """Raise a ValueError about a program that would take memory without bounds.

    A few bytes may put a value at place 2³² of the unpickler's table, which then has so many
    entries, or claim any number of bytes that follow.
    """
    for step, (opcode, argument, _) in enumerate(pickletools.genops(content), start=1):
        far = "PUT" in opcode.name and int(argument or 0) > step
        if far or step > _MOST_STEPS:
            raise ValueError


class _NotAnArray(Exception):
    """Names a function or class that a pickle wants, and that no array of numbers needs."""


class _Unpickler(pickle.Unpickler):
    """Finds only what rebuilds arrays of numbers."""

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): _NDARRAY,
            ("numpy", "dtype"): _dtype,
            ("_codecs", "encode"): _encode,
        }
        for package in ("numpy.core", "numpy._core"):
            known[f"{package}.multiarray", "_reconstruct"] = _reconstruct
            known[f"{package}.numeric", "_frombuffer"] = _frombuffer
        if (module, name) not in known:
            raise _NotAnArray(f"{module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _NotAnArray("an object outside the file")


_NDARRAY = object()
"""Stands for ``numpy.ndarray``, which could be called to take any amount of memory."""


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, which old protocols write as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _NotAnArray("a text in another encoding")
    return text.encode("latin1")


def _reconstruct(kind: object, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """An empty array, whose ``__setstate__`` compares the bytes with shape and type."""
    if kind is not _NDARRAY or tuple(shape) != (0,):
        raise _NotAnArray("an array of another kind")
    return np.ndarray.__new__(np.ndarray, (0,), np.int8)


def _dtype(text: str, align: bool = False, copy: bool = False) -> np.dtype:
    """A copy of a type, because a pickle may change its byte order."""
    if not isinstance(text, str) or len(text) > 4 or np.dtype(text).kind not in "fiu":
        raise _NotAnArray("a type that is no number")
    return np.dtype(text, copy=True)


def _frombuffer(buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    if not isinstance(dtype, np.dtype) or dtype.kind not in "fiu":
        raise _NotAnArray("a type that is no number")
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)  # type: ignore[call-overload]
