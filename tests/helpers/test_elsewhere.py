"""The stand-in for a GPU: it notices waiting, and refuses what a GPU refuses."""

import pytest
import torch

from helpers.elsewhere import WAITS, elsewhere


def test_stand_in_notices_waiting(monkeypatch) -> None:
    with elsewhere(monkeypatch) as device:
        values = torch.arange(3.0, device=device)
        WAITS.clear()
        values.mul_(2).sum()
        torch.ones(3).to(device, non_blocking=True)
        assert WAITS == []
        values[0].item()
        values[values > 1]
        values.cpu()
        torch.ones(3).to(device)
        assert len(WAITS) == 4


def test_stand_in_refuses_what_a_gpu_refuses(monkeypatch) -> None:
    with elsewhere(monkeypatch) as device:
        away, near = torch.arange(3.0, device=device), torch.arange(3.0)
        assert (away * torch.tensor(2.0)).cpu().tolist() == [0, 2, 4]
        assert away[torch.tensor([2])].item() == 2
        with pytest.raises(RuntimeError, match="main memory"):
            away + near
        with pytest.raises(RuntimeError, match="main memory"):
            near.index_add_(0, torch.tensor([0], device=device), torch.ones(1))
        with pytest.raises(RuntimeError, match="numpy"):
            away.numpy()
