"""Time on a device that computes while the program goes on."""

from __future__ import annotations

import time

import torch


def seconds_when_done(device: torch.device) -> float:
    """The time, once the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
