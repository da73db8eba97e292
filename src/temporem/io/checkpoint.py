"""Checkpoints without pickle: tensors as safetensors, the rest as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from temporem.distributed import ProcessGroup
from temporem.errors import TemporemError
from temporem.io.files import fresh_directory
from temporem.io.json_file import read_json_object
from temporem.io.outputs import require_no_links

_WEIGHTS, _OPTIMIZER, _EXTRA, STATE_NAME = (
    "model.safetensors",
    "optimizer.safetensors",
    "extra.safetensors",
    "state.json",
)
_ANEW = "start another run, or this one anew with --overwrite"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of Adam


def save_checkpoint(
    directory: Path,
    model: nn.Module | None,
    state: dict[str, Any],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    extra: dict[str, Tensor] | None = None,
) -> None:
    """Replace ``directory`` by a checkpoint, all of it or nothing.

    Args:
        directory: ``RUN/checkpoint``.
        model: its parameters and buffers are saved; None while there is none.
        state: JSON values (stage, epoch, step …).
        optimizer: its moments and step counts are saved; None when training is over.
        extra: more tensors (state of random generators, targets).
    """
    require_no_links([directory])
    with fresh_directory(directory, overwrite=True) as temporary:
        if model is not None:
            save_file(_plain(model.state_dict()), temporary / _WEIGHTS)
        if optimizer is not None:
            moments = {
                f"{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
                for index, slots in optimizer.state_dict()["state"].items()
                for name, value in slots.items()
            }
            save_file(_plain(moments), temporary / _OPTIMIZER)
        save_file(_plain(extra or {}), temporary / _EXTRA)
        (temporary / STATE_NAME).write_text(json.dumps(state, indent=1), encoding="utf-8")


class Resumable(Protocol):
    """Work that writes a checkpoint as it goes."""

    def restore(self) -> None:
        """Continue from the checkpoint."""
        ...


def resume_if_possible(run: Resumable, directory: Path, processes: ProcessGroup) -> None:
    """Have work go on where ``directory/checkpoint`` has it, if there is one."""
    if processes.any(processes.is_main and (directory / "checkpoint").is_dir()):
        run.restore()
        processes.wait()  # before it is replaced
    elif processes.is_main:
        (directory / "metrics.jsonl").unlink(missing_ok=True)  # of steps that no checkpoint keeps


def load_state(directory: Path) -> dict[str, Any]:
    """The JSON part of a checkpoint."""
    path = directory / STATE_NAME
    if not path.exists():
        raise TemporemError(
            f"{directory}: no checkpoint here", hint="was the run started, and is the path right?"
        )
    return read_json_object(path, hint=_ANEW)


def load_count(state: Mapping[str, Any], name: str, directory: Path, *, below: float) -> int:
    """A whole number of a checkpoint's state, from 0.

    Raises:
        TemporemError: it is not there, is something else, or is not ``below``.
    """
    value = state.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < below:
        raise damaged(directory / STATE_NAME, f"{name} is {str(value)[:40]}")
    return value


def load_number(
    state: Mapping[str, Any], name: str, directory: Path, *, least: float = 0.0
) -> float:
    """A finite number of a checkpoint's state, likewise."""
    value = state.get(name)
    if (
        not isinstance(value, (int, float))
        or isinstance(value, bool)
        or not (max(least, -sys.float_info.max) <= value <= sys.float_info.max)
    ):
        raise damaged(directory / STATE_NAME, f"{name} is {str(value)[:40]}")
    return float(value)


def load_flag(state: Mapping[str, Any], name: str, directory: Path) -> bool:
    """True or false of a checkpoint's state, likewise."""
    value = state.get(name)
    if not isinstance(value, bool):
        raise damaged(directory / STATE_NAME, f"{name} is {str(value)[:40]}")
    return value


def damaged(path: Path, what: str) -> TemporemError:
    """The error that a checkpoint, or a file of one, is not what it must be."""
    return TemporemError(f"{path}: not a readable checkpoint of this run ({what})", hint=_ANEW)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise damaged(path, str(error)) from None


def load_weights(directory: Path, model: nn.Module) -> None:
    """Load parameters and buffers; every one of them must fit.

    Raises:
        TemporemError: the checkpoint belongs to a model of other sizes or structure.
    """
    weights = load_tensors(directory / _WEIGHTS)
    wanted = model.state_dict()
    for name in sorted(wanted.keys() | weights.keys()):
        have, want = weights.get(name), wanted.get(name)
        if have is None or want is None or have.shape != want.shape:
            found, expected = (
                "none" if t is None else "x".join(map(str, t.shape)) or "scalar"
                for t in (have, want)
            )
            raise TemporemError(
                f"{directory}: checkpoint of another model ({name} is {found})",
                expected=expected,
                hint="use the config.yaml that the run was started with",
            )
    model.load_state_dict(weights)


def load_optimizer(directory: Path, optimizer: torch.optim.Optimizer) -> None:
    """Load moments and step counts into an optimizer of the same parameters.

    Shapes are checked: fused steps trust them, and would write beyond the end.

    Raises:
        TemporemError: moments of other parameters.
    """
    path = directory / _OPTIMIZER
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    found = load_tensors(path)
    for index, parameter in enumerate(parameters):
        own = {key: found.pop(f"{index}.{key}", None) for key in _MOMENTS}
        if all(value is None for value in own.values()):
            continue  # a parameter that no step has reached yet
        for key, value in own.items():
            shape = torch.Size() if key == "step" else parameter.shape
            if value is None or value.shape != shape or not value.isfinite().all():
                raise damaged(path, f"{index}.{key} does not fit its parameter")
            slots.setdefault(index, {})[key] = value
    if found:
        raise damaged(path, f"it holds {min(found)[:40]}")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})


def load_extra(
    directory: Path, shapes: Mapping[str, tuple[int, ...]], required: Collection[str]
) -> dict[str, Tensor]:
    """The additional tensors of a checkpoint.

    Args:
        directory: the checkpoint.
        shapes: of all that may be there; −1 is any length.
        required: names of those that must be.

    Raises:
        TemporemError: a tensor is missing, unknown, of another shape, or not finite.
    """
    path, tensors = directory / _EXTRA, load_tensors(directory / _EXTRA)
    if missing := sorted(set(required) - tensors.keys()):
        raise damaged(path, f"{missing[0]} is missing")
    for name, tensor in tensors.items():
        if not _fits(tensor, shapes.get(name)):
            raise damaged(path, f"{name[:40]} is {'x'.join(map(str, tensor.shape)) or 'scalar'}")
        if not tensor.isfinite().all():
            raise damaged(path, f"{name} is not finite")
    return tensors


def _fits(tensor: Tensor, shape: tuple[int, ...] | None) -> bool:
    if shape is None or tensor.dim() != len(shape):
        return False
    return all(wanted in (-1, found) for wanted, found in zip(shape, tensor.shape, strict=True))


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
