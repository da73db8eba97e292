"""Devices by name, and the arithmetic of networks on them."""

import pytest
import torch

from temporem.device import choose_device, fast_in_bfloat16, network_dtype
from temporem.distributed import ProcessGroup
from temporem.errors import TemporemError


@pytest.mark.parametrize("name", ["tpu", "cpu:x", "mps", "xyz:0", ""])
def test_unknown_devices_are_refused(name) -> None:
    with pytest.raises(
        TemporemError, match=r"unknown device.*; expected auto, cpu, cuda or cuda:0"
    ):
        choose_device(name)


def test_absent_gpu_is_refused() -> None:
    with pytest.raises(TemporemError, match=r"cuda:77 not found.*--device cpu"):
        choose_device("cuda:77")
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


def test_every_process_takes_a_gpu_of_its_own(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    processes = ProcessGroup(rank=7, size=8, local_rank=3)
    for name in ("auto", "cuda"):
        assert choose_device(name, processes) == torch.device("cuda:3")
    assert choose_device("cpu", processes) == torch.device("cpu")
    assert choose_device("cuda") == torch.device("cuda")
    with pytest.raises(
        TemporemError, match="cuda:1 names one GPU, for 8 processes; expected auto, cpu or cuda"
    ):
        choose_device("cuda:1", processes)
    with pytest.raises(TemporemError, match=r"cuda:4 not found.*as many processes on a node"):
        choose_device("auto", ProcessGroup(rank=4, size=8, local_rank=4))


@pytest.mark.parametrize(
    ("vendor", "flags", "fast"),
    [
        ("AuthenticAMD", "fma avx512f avx512_bf16", True),  # Zen 4
        ("AuthenticAMD", "fma avx512f", False),
        ("GenuineIntel", "avx512f avx512_bf16 amx_bf16 amx_tile", True),  # Sapphire Rapids
        ("GenuineIntel", "avx512f avx512_bf16", False),  # Cooper Lake, or AMX hidden
        ("GenuineIntel", "avx2", False),
    ],
)
def test_processor_decides_the_arithmetic(vendor: str, flags: str, fast: bool) -> None:
    core = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: X: Y\nflags\t\t: {flags}\n\n"
    assert fast_in_bfloat16(2 * core) is fast


def test_processor_that_is_not_known_keeps_float32() -> None:
    assert not fast_in_bfloat16("")
    assert not fast_in_bfloat16("processor\t: 0\nFeatures\t: fp asimd bf16\n")  # ARM
    assert not fast_in_bfloat16("flags: avx512_bf16\n")  # no vendor


def test_precision_is_as_asked_for() -> None:
    cpu = torch.device("cpu")
    assert network_dtype("float32", cpu) is None
    assert network_dtype("bfloat16", cpu) is torch.bfloat16
    assert network_dtype("auto", cpu) in (None, torch.bfloat16)
    assert len({network_dtype("auto", cpu) for _ in range(5)}) == 1
