"""Processes that share a run: how they split work, and what they say of each other."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from temporem.distributed import ProcessGroup
from temporem.errors import TemporemError


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 9))
def test_parts_are_neighbours_and_hold_everything_once(lengths: list[int], size: int) -> None:
    parts = [ProcessGroup(rank, size).cut(lengths) for rank in range(size)]
    items = list(range(len(lengths)))
    assert [i for part in parts for i in items[part]] == items
    if lengths:
        most = sum(lengths) / size + max(lengths)
        assert max(sum(lengths[part]) for part in parts) <= most


def test_one_process_alone_waits_for_nobody() -> None:
    processes, values = ProcessGroup(), torch.ones(3)
    processes.add(values)
    processes.same(values)
    processes.wait()
    assert values.equal(torch.ones(3))
    assert processes.any(True)
    assert not processes.any(False)


def test_a_process_that_vanished_is_said(monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("[pair.cc:1] Connection closed by peer. See the logs.\nframe #0")

    monkeypatch.setattr(dist, "all_reduce", fail)
    with pytest.raises(TemporemError, match=r"lost the other .*Connection closed by peer\)"):
        ProcessGroup(0, 2).wait()
