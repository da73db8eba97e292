"""Whether a run fits in memory, said before it begins."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from temporem.device import network_dtype
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import prepared_bytes
from temporem.physics.forward import ForwardModel
from temporem.physics.padded_grid import full_grid
from temporem.runs.config import RunConfig

_GIB = 2**30
# Peaks that were measured, in bytes for each voxel of the padded grid.
_MEAN_VOLUME = 125
_LINEAR_CHANNEL = 24  # of the sums of the linear model
_SLICED_VOLUME = 8


def require_memory(config: RunConfig, dataset: Dataset, device: torch.device) -> None:
    """Raise a TemporemError where a run needs more memory than is free.

    What is needed is estimated from above for volumes of large boxes, where it matters; what
    libraries take is not counted.
    """
    model = ForwardModel(dataset.box, dataset.pixel_size_angstrom)
    frames = _frames_in_memory(config, model, dataset.n_frames)
    volume = _MEAN_VOLUME * _grid_size(model), f"bin the images to a box below {model.box}"
    fit = _fit(config, model, max(map(len, dataset.movies)), device, in_memory=frames[0] > 0)
    if device.type == "cpu":
        _require("memory", free_host_bytes(), frames, max(volume, fit))
    else:
        _require("memory", free_host_bytes(), frames, volume)
        _require(f"memory of {device}", torch.cuda.mem_get_info(device)[0], frames, fit)


def free_host_bytes() -> int | None:
    """Memory that a process may still take, or None where the system does not say."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        found.append(1024 * int(fields["MemAvailable"].split()[0]))
    except (OSError, KeyError, ValueError):
        pass
    group = Path("/sys/fs/cgroup")  # of a container or a batch job
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
    """Parts are bytes and what makes them fewer."""
    needed = sum(n for n, _ in parts)
    if free is not None and needed > free:
        raise TemporemError(
            f"this run needs about {needed / _GIB:.1f} GiB of {where}, and "
            f"{free / _GIB:.1f} GiB are free",
            hint=max(parts)[1],
        )


def _frames_in_memory(config: RunConfig, model: ForwardModel, n_frames: int) -> tuple[int, str]:
    budget = config.data.memory_gb
    size = prepared_bytes(model, n_frames, config.encoder_input)
    return size if size <= budget * _GIB else 0, f"lower data.memory_gb, which is {budget:g}"


def _fit(
    config: RunConfig, model: ForwardModel, longest: int, device: torch.device, *, in_memory: bool
) -> tuple[int, str]:
    """Of the linear model's sums, or of a step of training and the volumes that it slices.

    A network starts from a linear model, where it has one.
    """
    if config.method == "homogeneous":
        return 0, ""
    if config.method == "linear":
        chosen = config.linear.choose_components
        q = config.linear.most_components if chosen else config.model.z_dim
        key = "linear.most_components" if chosen else "--components"
        hint = f"lower {key}, which is {q}, or bin the images to a box below {model.box}"
        return _linear_sums(model, q), hint
    settings, training = config.model, config.training
    frames = training.frames_per_step
    if config.method == "tempor":
        frames = max(frames, longest)
    pixels = min(training.pixels_per_frame, len(model.support))
    number = 4 if network_dtype(training.precision, device) is None else 2
    activations = 2 * number * settings.generator_width * settings.generator_depth
    components = settings.base_components
    evidence = config.moving_poses or not in_memory  # slices the mean as well
    volumes = (0 if components is None else 1 + components) + evidence
    tried = 2 if config.learned_poses == "head" else 1  # poses of a frame
    size = tried * frames * pixels * activations + _SLICED_VOLUME * volumes * _grid_size(model)
    key, value = "training.frames_per_step", training.frames_per_step
    if frames > training.frames_per_step or frames == 1:
        key, value = "training.pixels_per_frame", training.pixels_per_frame
    small = ForwardModel(min(model.box, settings.linear_box), model.pixel_size_angstrom)
    start = _linear_sums(small, components) if components else 0
    if start > size:
        size, key, value = start, "model.z_dim", settings.z_dim
        if settings.linear_components > settings.z_dim:
            key, value = "model.linear_components", settings.linear_components
    return size, f"lower {key}, which is {value}, or bin the images to a box below {model.box}"


def _linear_sums(model: ForwardModel, q: int) -> int:
    """Of the M-step of a linear model with q components."""
    channels = 2 * (q + 1) + (q + 1) * (q + 2) // 2
    return _LINEAR_CHANNEL * channels * _grid_size(model)


def _grid_size(model: ForwardModel) -> int:
    return math.prod(full_grid(model.box, torch.device("cpu")).shape)
