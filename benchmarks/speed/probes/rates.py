"""What this machine can do: ``python -m benchmarks.speed.probes.rates``.

Rates of matrix products, large ones and those of a training step of the generator, in float32 and
bfloat16, and of copying memory. The fastest of several tries each: this is a ceiling.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.speed.counting import StepSize, operations, products
from benchmarks.speed.probes.clock import seconds_when_done

from temporem.device import choose_device

_TRIES = 5


def measure_rates(
    size: StepSize, matrix: int, copy_bytes: int, device: torch.device
) -> dict[str, Any]:
    """Operations and bytes a second.

    Args:
        size: of the training step whose products are timed.
        matrix: edge of the large matrices.
        copy_bytes: size of the array that is copied.
        device: that is measured.

    Returns:
        ``large`` and ``step``, each by dtype, operations a second; ``copy``, bytes a second, read
        and written.
    """
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    large, step = {}, {}
    for name, dtype in dtypes.items():
        square = torch.randn(matrix, matrix, dtype=dtype, device=device)
        large[name] = 2 * matrix**3 / _fastest(partial(torch.matmul, square, square), device)
        step[name] = operations(size) / _fastest_step(size, dtype, device)
    source = torch.zeros(copy_bytes, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    copy = 2 * copy_bytes / _fastest(lambda: target.copy_(source), device)
    return {"large": large, "step": step, "copy": copy}


def _fastest_step(size: StepSize, dtype: torch.dtype, device: torch.device) -> float:
    """Seconds for all matrix products of a step, one after the other."""

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype, device=device)

    pairs = {(m, k, n): (drawn(m, k), drawn(k, n)) for m, k, n in products(size)}

    def step() -> None:
        for shape in products(size):
            a, b = pairs[shape]
            a @ b

    return _fastest(step, device)


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    work()  # memory is allocated, kernels are chosen
    seconds = []
    for _ in range(_TRIES):
        started = seconds_when_done(device)
        work()
        seconds.append(seconds_when_done(device) - started)
    return min(seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the result to ``-o``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", required=True, help="of the step, as JSON")
    parser.add_argument("--matrix", type=int, required=True)
    parser.add_argument("--copy-mebibytes", type=int, required=True)
    parser.add_argument("--device", default="cpu", help="as training.device (default: cpu)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    size = StepSize(**json.loads(options.size))
    device = choose_device(options.device)
    found = measure_rates(size, options.matrix, options.copy_mebibytes * 2**20, device)
    options.output.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
