"""Which device, and which arithmetic the networks run in on it."""

from __future__ import annotations

from typing import Literal

import torch

from temporem.errors import TemporemError
from temporem.world import ALONE, World


def choose_device(name: str, world: World = ALONE) -> torch.device:
    """The device called ``name``; ``auto`` takes a GPU if there is one.

    Of several processes on a node each takes a GPU of its own.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if world.size > 1 and name.startswith("cuda"):
        if name != "cuda":
            raise TemporemError(
                f"training.device: {name} for {world.size} processes",
                expected="auto, cpu, or cuda, of which every process takes one",
            )
        name = f"cuda:{world.local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise TemporemError(f"training.device: {name} is not known", expected="auto, cpu or cuda:0")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TemporemError(
            f"training.device: {name} is not here ({torch.cuda.device_count()} GPUs found)",
            hint="use training.device=cpu"
            + (", or as many processes on a node as it has GPUs" if world.size > 1 else ""),
        )
    return device


def network_dtype(
    precision: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> torch.dtype | None:
    """bfloat16 when asked for or fast on this device, else None for plain float32."""
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported()
        else:
            fast = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return torch.bfloat16 if fast else None
    return torch.bfloat16 if precision == "bfloat16" else None
