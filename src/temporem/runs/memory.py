"""Check, before a run begins, that its memory is free."""

from __future__ import annotations

from pathlib import Path

import torch

from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import prepared_bytes
from temporem.physics.forward import ForwardModel
from temporem.runs.config import RunConfig
from temporem.runs.methods.base import Method
from temporem.runs.methods.homogeneous import grid_size

_GIB = 2**30
_MEAN_VOLUME = 125  # bytes for each voxel of the padded grid, a peak that was measured


def require_memory(
    config: RunConfig, method: Method, dataset: Dataset, device: torch.device
) -> None:
    """Raise a TemporemError if a run needs more memory than is free.

    The estimate is an upper bound for large boxes and large networks, where it matters. Memory of
    the libraries is not counted.
    """
    frames, volume, fit = _parts(config, method, dataset)
    if device.type == "cpu":
        _require("memory", free_host_bytes(), frames, max(volume, fit))
    else:
        _require("memory", free_host_bytes(), frames, volume)
        _require(f"memory of {device}", torch.cuda.mem_get_info(device)[0], frames, fit)


def expected_memory(config: RunConfig, method: Method, dataset: Dataset) -> int:
    """Estimate the memory of a run on a CPU, bytes, without that of the libraries."""
    frames, volume, fit = _parts(config, method, dataset)
    return frames[0] + max(volume[0], fit[0])


def _parts(
    config: RunConfig, method: Method, dataset: Dataset
) -> tuple[tuple[int, str], tuple[int, str], tuple[int, str]]:
    """Bytes of prepared frames, of the mean volume and of the method, each with a hint."""
    model = ForwardModel(dataset.box, dataset.pixel_size_angstrom)
    size = prepared_bytes(model, dataset.n_frames)
    in_memory = size <= config.data.memory_gb * _GIB
    frames = size * in_memory, f"lower data.memory_gb, which is {config.data.memory_gb:g}"
    volume = _MEAN_VOLUME * grid_size(model), f"bin the images to a box below {model.box}"
    longest = max(map(len, dataset.movies))
    return frames, volume, method.memory(config, model, longest, in_memory=in_memory)


def free_host_bytes() -> int | None:
    """Memory that a process may still take; None if the system does not tell."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        found.append(1024 * int(fields["MemAvailable"].split()[0]))
    except (OSError, KeyError, ValueError):
        pass
    group = Path("/sys/fs/cgroup")  # limits of a container or a batch job
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        statistics = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        cached = int(dict(line.split(" ", 1) for line in statistics)["inactive_file"])
        found.append(limit - used + cached)
    except (OSError, KeyError, ValueError):
        pass  # "max" is no number
    return min(found, default=None)


def _require(where: str, free: int | None, *parts: tuple[int, str]) -> None:
    """Compare the sum of the parts, each in bytes with a hint to lower it, with free memory."""
    needed = sum(n for n, _ in parts)
    if free is not None and needed > free:
        raise TemporemError(
            f"this run needs about {needed / _GIB:.1f} GiB of {where}, but "
            f"{free / _GIB:.1f} GiB are free",
            hint=max(parts)[1],
        )
