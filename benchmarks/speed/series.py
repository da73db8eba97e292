"""Repeated measurements of one quantity, and the order in which they are taken."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from benchmarks.peers.cryodrgn.environment import Usage

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True)
class Series:
    """One row of a table.

    Attributes:
        label: what was done.
        unit: of the values.
        values: repeated measurements; none where all were lost in noise.
        usage: of the commands that they come from.
        group: rows of one group are compared with the peer's row of the same group.
        peer: whether this is the peer's.
        less_is_better: as of times.
        columns: further numbers of this row, by the head of their column.
    """

    label: str
    unit: str
    values: Sequence[float]
    usage: Sequence[Usage] = ()
    group: str = ""
    peer: bool = False
    less_is_better: bool = False
    columns: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    def document(self, gain: float | None) -> dict[str, Any]:
        """As it is kept: all values and what follows from them."""
        lowest, highest = min(self.values, default=None), max(self.values, default=None)
        spread = {"median": self.median, "lowest": lowest, "highest": highest}
        return {**asdict(self), **spread, "gain": gain}


def gains(rows: Sequence[Series]) -> list[float | None]:
    """How many times better each row's median is than the peer's; None where there is no peer."""
    peers = {row.group: row.median for row in rows if row.peer}
    ratios: list[float | None] = []
    for row in rows:
        ours, peer = row.median, peers.get(row.group)
        if not ours or not peer:
            ratios.append(None)
        else:
            ratios.append(peer / ours if row.less_is_better else ours / peer)
    return ratios


def interleave(
    programs: Mapping[K, Callable[[int], T]], repetitions: int, *, once: Collection[K] = ()
) -> dict[K, list[T]]:
    """Ours, peer, ours, peer …: every program once a round, so that a slow hour slows all alike.

    Args:
        programs: measures each of them, given the number of the round.
        repetitions: rounds.
        once: programs that are too slow to repeat, left out after the first round.
    """
    results: dict[K, list[T]] = {name: [] for name in programs}
    for turn in range(repetitions):
        for name, measure in programs.items():
            if turn == 0 or name not in once:
                results[name].append(measure(turn))
    return results
