"""One-line messages for errors of the system: disk and memory."""

from __future__ import annotations

import os
import re
from pathlib import Path

from temporem.errors import TemporemError
from temporem.io.files import disk_error, is_disk_failure, readable_size

_OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|unable to allocate|bad alloc|"
    r"bad_alloc|ALLOC_FAILED",
    re.IGNORECASE,
)
_BYTES = re.compile(r"allocate (?:about )?([\d.]+) ?(bytes|B|KiB|MiB|GiB|TiB)", re.IGNORECASE)
_UNITS = {"bytes": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_LESS = (
    "take fewer frames per step (training.frames_per_step), narrower networks or smaller images, "
    "or a machine with more memory"
)


def describe(error: Exception) -> str | None:
    """Describe an error of the system in one line; None for a fault of temporem itself."""
    if isinstance(error, OSError) or is_disk_failure(error):
        return _describe_os_error(error)
    if isinstance(error, MemoryError):
        return str(_out_of_memory(str(error)))
    if isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)):
        return str(_out_of_memory(str(error)))
    return None


def _describe_os_error(error: Exception) -> str:
    """Name the file and, if the disk is at fault, its folder and free space."""
    file = getattr(error, "filename", None)
    name = None if file is None else os.fsdecode(file)
    if is_disk_failure(error):
        return str(disk_error(error, name or Path.cwd() / "*"))
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{name}: {reason}" if name else reason


def _out_of_memory(message: str) -> TemporemError:
    """Tell how much memory was asked for, and whether of the GPU."""
    asked = _BYTES.search(message)
    amount = ""
    if asked is not None:
        n_bytes = float(asked[1].rstrip(".")) * _UNITS[asked[2].lower()]
        amount = f": {readable_size(int(n_bytes))} more were needed"
    on_gpu = re.search(r"CUDA|CUBLAS|CUFFT|CUDNN", message) is not None
    other = ", or the CPU (--device cpu)" if on_gpu else ""
    return TemporemError(f"out of {'GPU ' if on_gpu else ''}memory{amount}", hint=_LESS + other)
