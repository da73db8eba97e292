"""Which device, and which arithmetic the networks run in on it."""

from __future__ import annotations

import time
from functools import cache
from typing import Literal

import torch

from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.errors import TemporemError


def choose_device(name: str, processes: ProcessGroup = SINGLE_PROCESS) -> torch.device:
    """The device called ``name``; ``auto`` takes a GPU if there is one.

    Of several processes on a node each takes a GPU of its own.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if processes.size > 1 and name.startswith("cuda"):
        if name != "cuda":
            raise TemporemError(
                f"training.device: {name} for {processes.size} processes",
                expected="auto, cpu, or cuda, of which every process takes one",
            )
        name = f"cuda:{processes.local_rank}"
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
            + (", or as many processes on a node as it has GPUs" if processes.size > 1 else ""),
        )
    return device


def network_dtype(
    precision: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> torch.dtype | None:
    """bfloat16 when asked for or fast on this device, else None for plain float32."""
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = _cpu_is_faster_in_bfloat16()
        return torch.bfloat16 if fast else None
    return torch.bfloat16 if precision == "bfloat16" else None


@cache
def _cpu_is_faster_in_bfloat16() -> bool:
    """Whether products of the networks' usual shape take less time in bfloat16 than in float32.

    Measured, in some 10 ms: of the CPUs that have such instructions (AVX-512 BF16) some multiply
    twice as fast with them (AMD Zen 4) and some half as fast (Intel without AMX), so that no time
    lies between, whatever else the machine does.
    """
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    operands = {
        dtype: (torch.ones(2048, 256, dtype=dtype), torch.ones(256, 256, dtype=dtype))
        for dtype in (torch.float32, torch.bfloat16)
    }
    fastest = dict.fromkeys(operands, float("inf"))
    for _ in range(6):  # in turn; the first of each chooses and compiles its kernel
        for dtype, (x, weight) in operands.items():
            started = time.perf_counter()
            torch.mm(x, weight)
            fastest[dtype] = min(fastest[dtype], time.perf_counter() - started)
    return fastest[torch.bfloat16] < fastest[torch.float32]
