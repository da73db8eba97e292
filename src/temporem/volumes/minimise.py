"""Descent of small fits that begin a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def minimise(
    loss: Callable[[float], Tensor],
    groups: list[dict[str, Any]],
    steps: int,
    *,
    after_gradient: Callable[[], None] = lambda: None,
) -> None:
    """Take steps of Adam whose size falls linearly to 0 in the second half.

    Args:
        loss: scalar to minimise; it is given the share of the steps that are done.
        groups: parameters with their step sizes, as Adam takes them.
        steps: number of steps.
        after_gradient: called before each step, such as to add gradients of other processes.
    """
    optimizer = torch.optim.Adam(groups)
    rates = [group["lr"] for group in groups]
    for step in range(steps):
        done = step / steps
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, 2 * (1 - done))
        optimizer.zero_grad()
        loss(done).backward()
        after_gradient()
        optimizer.step()
