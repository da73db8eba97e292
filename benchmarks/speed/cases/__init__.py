"""The cases by their names, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.speed.bench import Bench, CaseResult
from benchmarks.speed.cases import (
    decoding,
    evaluation,
    growth,
    quality,
    roofline,
    simulation,
    startup,
    training,
)

CASES: dict[str, Callable[[Bench], CaseResult]] = {
    "startup": startup.measure,
    "simulation": simulation.measure,
    "training": training.measure,
    "decoding": decoding.measure,
    "evaluation": evaluation.measure,
    "roofline": roofline.measure,
    "growth": growth.measure,
    "quality": quality.measure,
}

NEED_PEER = {"quality"}
"""Cases that say nothing without the peer."""
