"""Checkpoints without pickle: tensors as safetensors, the rest as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from temporem.data.files import fresh_directory
from temporem.errors import TemporemError
from temporem.world import World

_WEIGHTS, _OPTIMIZER, _EXTRA, _STATE = (
    "model.safetensors",
    "optimizer.safetensors",
    "extra.safetensors",
    "state.json",
)


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
        (temporary / _STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")


class Resumable(Protocol):
    """Work that writes a checkpoint as it goes."""

    def restore(self) -> None:
        """Continue from the checkpoint."""
        ...


def take_up(run: Resumable, directory: Path, world: World) -> None:
    """Have work go on where ``directory/checkpoint`` has it, if there is one."""
    if world.any(world.is_main and (directory / "checkpoint").is_dir()):
        run.restore()
        world.wait()  # before it is replaced
    elif world.is_main:
        (directory / "metrics.jsonl").unlink(missing_ok=True)  # of steps that no checkpoint keeps


def load_state(directory: Path) -> dict[str, Any]:
    """The JSON part of a checkpoint."""
    path = directory / _STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TemporemError(
            f"{directory}: no checkpoint here", hint="was the run started, and is the path right?"
        ) from None
    except (OSError, ValueError) as error:
        raise TemporemError(f"{path}: not a readable checkpoint ({error})") from None
    if not isinstance(state, dict):
        raise TemporemError(f"{path}: not a readable checkpoint")
    return state


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TemporemError(f"{path}: not a readable checkpoint ({error})") from None


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
    """Load moments and step counts into an optimizer of the same parameters."""
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in load_tensors(directory / _OPTIMIZER).items():
        index, name = key.split(".", 1)
        slots.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})


def load_extra(directory: Path) -> dict[str, Tensor]:
    """The additional tensors of a checkpoint."""
    return load_tensors(directory / _EXTRA)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
