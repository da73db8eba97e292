"""The device to compute on, and the arithmetic of networks on it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import torch

from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.errors import TemporemError


def choose_device(name: str, processes: ProcessGroup = SINGLE_PROCESS) -> torch.device:
    """Find the device of a name; ``auto`` takes a GPU if there is one.

    Several processes of a node take one GPU each.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if processes.size > 1 and name.startswith("cuda"):
        if name != "cuda":
            raise TemporemError(
                f"--device {name} names one GPU, for {processes.size} processes",
                expected="auto, cpu or cuda; with cuda every process takes a GPU of its own",
            )
        name = f"cuda:{processes.local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise TemporemError(f"unknown device {name}", expected="auto, cpu, cuda or cuda:0")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TemporemError(
            f"device {name} not found ({torch.cuda.device_count()} GPUs found)",
            hint="use --device cpu"
            + (", or as many processes on a node as it has GPUs" if processes.size > 1 else ""),
        )
    return device


def network_dtype(
    precision: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> torch.dtype | None:
    """Choose the arithmetic of the networks: bfloat16, or None for float32.

    ``auto`` takes bfloat16 if the device is faster in it. The choice depends on the device and not
    on a measured time, so two identical runs on a machine use the same arithmetic.
    """
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = fast_in_bfloat16(_processor()) and torch.backends.mkldnn.is_available()
        return torch.bfloat16 if fast else None
    return torch.bfloat16 if precision == "bfloat16" else None


def fast_in_bfloat16(processor: str) -> bool:
    """Look up whether a CPU multiplies matrices faster in bfloat16 than in float32.

    ============================== ==== ======================================
    instructions                   fast reason
    ============================== ==== ======================================
    AMX (Intel)                    yes  they are a matrix unit for bfloat16
    AVX-512 BF16, AMD (Zen 4)      yes  twice as fast, measured
    AVX-512 BF16, Intel, no AMX    no   half as fast, measured
    others, and systems but Linux  no   emulated, or not measured
    ============================== ==== ======================================

    Args:
        processor: text of ``/proc/cpuinfo``; empty where there is none.
    """
    fields = dict.fromkeys(("vendor_id", "flags"), "")
    for line in processor.splitlines():
        name, _, value = line.partition(":")
        if fields.get(name.strip()) == "":
            fields[name.strip()] = value
    flags = set(fields["flags"].split())
    amd = fields["vendor_id"].strip() == "AuthenticAMD"
    return "amx_bf16" in flags or ("avx512_bf16" in flags and amd)


@cache
def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
