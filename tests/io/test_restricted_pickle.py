"""Pickles of arrays are read; any other is refused before something in it runs."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temporem.errors import TemporemError
from temporem.io.restricted_pickle import read_arrays

ROTATIONS = np.random.default_rng(0).normal(size=(6, 3, 3)).astype(np.float32)
SHIFTS = np.random.default_rng(1).normal(size=(6, 2))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_protocol(tmp_path: Path, protocol: int, order: str) -> None:
    path = tmp_path / "poses.pkl"
    arrays = (np.asarray(ROTATIONS, order=order), SHIFTS.astype(">f8"))  # type: ignore[call-overload]
    path.write_bytes(pickle.dumps(arrays, protocol))
    one, other = read_arrays(path)
    assert np.array_equal(one, ROTATIONS)
    assert np.array_equal(other, SHIFTS)
    assert np.dtype("f8").byteorder == "="  # a pickle cannot change numpy's own types
    path.write_bytes(pickle.dumps(SHIFTS, protocol))
    assert np.array_equal(read_arrays(path)[0], SHIFTS)


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize(
    "evil",
    [
        Runs(os.system, "touch {mark}"),
        Runs(eval, "open('{mark}', 'w')"),
        Runs(np.ndarray, (10**12,)),
        Runs(np.zeros, 10**12),
        Runs(np.load, "{mark}"),
        Runs(bytearray, 10**12),
        (ROTATIONS, Runs(os.system, "touch {mark}")),
        np.array([{"a": 1}], dtype=object),
        np.array(["text"]),
        {"rotations": ROTATIONS},
        "text",
        (),
        None,
    ],
)
def test_whatever_is_no_array_of_numbers_is_refused(tmp_path: Path, evil: object) -> None:
    path, mark = tmp_path / "poses.pkl", tmp_path / "mark"
    path.write_bytes(pickle.dumps(evil).replace(b"{mark}", str(mark).encode()[:6]))
    with pytest.raises(TemporemError, match="NumPy arrays and nothing else") as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("mark*"))


def test_a_refused_function_is_not_called(tmp_path: Path) -> None:
    path, mark = tmp_path / "poses.pkl", tmp_path / "mark"
    path.write_bytes(pickle.dumps(Runs(os.mkdir, str(mark))))
    with pytest.raises(TemporemError, match=r"asks for posix\.mkdir, and a pickle may"):
        read_arrays(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # the test can fail
    assert mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02K\x01r\xff\xff\xff\x7f.",  # a table of 2³² entries
        b"\x80\x02K\x01p9999999999\n.",
        b"\x80\x05\x96" + (2**33).to_bytes(8, "little") + b"x.",  # 8 GiB of bytes are announced
        b"\x80\x04\x8e" + (2**33).to_bytes(8, "little") + b"x.",
        b"\x80\x02" + b"N" * 2_000_000 + b".",  # a stack of millions
    ],
)
def test_small_programs_take_little_memory(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TemporemError, match="is damaged or no pickle"):
        read_arrays(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_pickles_never_do_worse_than_an_error(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(pickle.dumps((ROTATIONS, SHIFTS), data.draw(st.integers(2, 5))))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 1] = data.draw(st.binary(max_size=3))
    path = tmp_path / "a.pkl"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(TemporemError):
        assert all(array.dtype.kind in "fiu" for array in read_arrays(path))
