"""Which device, and which arithmetic the networks run in on it."""

from __future__ import annotations

from typing import Literal

import torch

from temporem.errors import TemporemError


def choose_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` takes a GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise TemporemError(f"training.device: {name} is not known", expected="auto, cpu or cuda:0")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TemporemError(
            f"training.device: {name} is not here ({torch.cuda.device_count()} GPUs found)",
            hint="use training.device=cpu",
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
