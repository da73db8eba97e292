"""States and log of a run: whatever stops it, it goes on from its last state to the same end."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.crash import crashes, power_cuts
from temporem.distributed import SINGLE_PROCESS
from temporem.errors import TemporemError
from temporem.io.checkpoint import load_checkpoint, save_checkpoint
from temporem.io.leftovers import adopt_leftovers
from temporem.io.state import Parts
from temporem.runs import names
from temporem.runs.persistence import RunStore, read_metrics

STEPS = 3
PARTS = ("first", "second")


@dataclass(frozen=True)
class Walk:
    """A state of an algorithm for tests: a walk whose every step depends on the one before."""

    kind: ClassVar[str] = "walk"

    done: int
    position: Tensor
    finished: bool = False
    record: Mapping[str, Any] | None = None
    sound: bool = True

    def parts(self) -> Parts:
        document = {"done": self.done, "finished": self.finished}
        return Parts(self.kind, {"position": self.position}, document)

    @classmethod
    def from_parts(cls, parts: Parts) -> Walk:
        parts.require_kind(cls.kind)
        position = parts.tensor("position", 3, dtype=torch.float64)
        return cls(parts.integer("done", most=STEPS), position, parts.flag("finished"))


def walk(resume: Walk | None, *, start: Tensor | None = None) -> Iterator[Walk]:
    """Three steps; the second has nothing to log."""
    state = resume or Walk(0, torch.zeros(3, dtype=torch.float64) if start is None else start)
    while not state.finished:
        done = state.done + 1
        position = (2 * state.position).sin() + torch.tensor([0.1, 0.2, 0.3]).double() * done
        record = None if done == 2 else {"step": done, "x": float(position[0])}
        state = Walk(done, position, done == STEPS, record)
        yield state


States = Callable[[Walk | None], Iterator[Walk]]


class Killed(Exception):
    pass


def carry_out(
    folder: Path, *, first: States = walk, killed_after: int | None = None, **store: Any
) -> np.ndarray:
    """Two walks, the second from where the first ends, and a file of the result, as in a run.

    ``killed_after`` counts states of both.
    """
    short = store.pop("short_steps", False)
    states = RunStore(folder, SINGLE_PROCESS, store.pop("every_seconds", 0.0))
    states.open()
    n = 0

    def follow(part: str, given: States) -> Walk:
        def counted(resume: Walk | None) -> Iterator[Walk]:
            nonlocal n
            for state in given(resume):
                yield state
                n += 1
                if n == killed_after:
                    raise Killed

        return states.follow(part, counted, Walk.from_parts, short_steps=short)

    found = follow(PARTS[0], first)
    end = follow(PARTS[1], lambda resume: walk(resume, start=found.position))
    save_checkpoint(folder / names.MODEL, Parts("model", {"weight": end.position}))
    states.close()
    return end.position.numpy()


def resume(folder: Path) -> np.ndarray:
    """Carry out what is left, as the command does; with its model a run is finished."""
    adopt_leftovers(folder)
    if not (folder / names.MODEL).exists():
        return carry_out(folder)
    RunStore(folder, SINGLE_PROCESS, 0.0).close()
    return load_checkpoint(folder / names.MODEL).tensors["weight"].numpy()


def assert_complete(folder: Path, end: np.ndarray) -> None:
    """The result, a log with every line once, and no other files."""
    np.testing.assert_array_equal(end, expected_end())
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) == sorted(
        [names.CHECKPOINT, names.MODEL, names.METRICS]
    )
    found = [(r["part"], r["step"]) for r in read_metrics(folder)]
    assert found == [(part, step) for part in PARTS for step in (1, 3)]


def expected_end() -> np.ndarray:
    *_, first = walk(None)
    *_, second = walk(None, start=first.position)
    return second.position.numpy()


def state_in(folder: Path, part: str) -> Walk:
    return Walk.from_parts(load_checkpoint(folder / names.state_file(part)))


@pytest.fixture
def run(tmp_path) -> Path:
    path = tmp_path / "disk" / "run"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def stopped(run) -> Path:
    """A run that was killed after two steps of its second walk, while it wrote its log."""
    with pytest.raises(Killed):
        carry_out(run, killed_after=5)
    with open(run / names.METRICS, "a", encoding="utf-8") as file:
        file.write('{"part": "second", "step": 3}\n{"part": "sec')
    return run


# --- being stopped ---


def test_a_run_that_nobody_stops_leaves_its_log_and_no_states(run) -> None:
    assert_complete(run, carry_out(run))


def test_a_run_that_is_stopped_after_every_single_state_ends_the_same(run) -> None:
    for n in range(2 * STEPS):
        with pytest.raises(Killed):
            carry_out(run, killed_after=1)
        assert state_in(run, PARTS[n // STEPS]).done == n % STEPS + 1
    assert_complete(run, carry_out(run))


@pytest.mark.integration
@pytest.mark.parametrize("begun", ["new", "stopped"])
def test_crash_before_any_change_of_the_disk_leaves_a_run_that_ends_the_same(
    begun, run, stopped, tmp_path
) -> None:
    before = tmp_path / "before"
    shutil.copytree(stopped, before)
    if begun == "new":
        shutil.rmtree(before)
        before.mkdir()

    def again() -> None:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(before, run)

    again()
    n = 0
    for _ in crashes(lambda: resume(run)):
        n += 1
        assert_complete(run, resume(run))
        again()
    assert n > 10
    assert_complete(run, resume(run))  # the last one lived to the end


@pytest.mark.parametrize("begun", ["new", "stopped"])
def test_power_cut_at_any_moment_leaves_a_run_that_ends_the_same(
    begun, run, stopped, tmp_path, monkeypatch
) -> None:
    if begun == "new":
        shutil.rmtree(run)
        run.mkdir()
    images = power_cuts(lambda: resume(run), run.parent, tmp_path / "images")
    assert len(images) > 20
    kept: dict[str, list[int]] = {"synced": [], "names": []}
    for image in images:
        found = image / "run"
        adopt_leftovers(found)
        dones = [state_in(found, p).done for p in PARTS if (found / names.state_file(p)).exists()]
        if not (found / names.MODEL).exists():
            kept[image.name.partition("-")[2]].append(sum(dones))
        assert_complete(found, resume(found))
    for counts in kept.values():  # no state is lost once the next one has begun
        assert counts == sorted(counts)
        assert set(counts) == set(range(5 if begun == "stopped" else 0, 2 * STEPS + 1))


def test_states_of_a_finished_run_that_a_crash_has_left_are_removed(run) -> None:
    carry_out(run)
    save_checkpoint(run / names.state_file("first"), Walk(4, torch.zeros(3).double()).parts())
    RunStore(run, SINGLE_PROCESS, 0).close()
    assert [path.name for path in (run / names.CHECKPOINT).iterdir()] == ["model.safetensors"]
    shutil.rmtree(run / names.CHECKPOINT)
    RunStore(run, SINGLE_PROCESS, 0).close()


def interrupted_in(step: int) -> States:
    """A walk in which Ctrl-C is pressed in the middle of a step."""

    def states(resume: Walk | None) -> Iterator[Walk]:
        for state in walk(resume):
            if state.done == step:
                signal.raise_signal(signal.SIGINT)
            yield state

    return states


@pytest.fixture
def _listening() -> Iterator[None]:
    """Ctrl-C as at a terminal: what a shell starts in the background is deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_listening")
@pytest.mark.parametrize(("short_steps", "kept"), [(False, 2), (True, 3)])
def test_ctrl_c_keeps_the_last_state_or_first_ends_a_short_step(run, short_steps, kept) -> None:
    with pytest.raises(KeyboardInterrupt):
        carry_out(run, first=interrupted_in(3), short_steps=short_steps, every_seconds=1000.0)
    if not short_steps:
        assert state_in(run, "first").done == kept
    else:
        assert state_in(run, "first").done == kept
        assert [r["step"] for r in read_metrics(run)] == [1, 3]
    assert_complete(run, resume(run))


def test_states_of_short_steps_are_kept_once_a_while(run, monkeypatch) -> None:
    clock, saved = [0.0], []
    monkeypatch.setattr("temporem.runs.persistence.time.monotonic", lambda: clock[0])

    def states(resume: Walk | None) -> Iterator[Walk]:
        for state in walk(resume):
            clock[0] += 4.0
            yield state
            file = run / names.state_file("first")
            saved.append(state_in(run, "first").done if file.exists() else 0)

    carry_out(run, first=states, short_steps=True, every_seconds=8.0)
    assert saved == [0, 2, 3]


def test_a_log_that_finds_no_room_is_one_line_and_the_run_can_go_on(run) -> None:
    """The limit on the size of files stands for a full disk; it cuts the second line."""
    (run / names.METRICS).write_text("")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def states(resume: Walk | None) -> Iterator[Walk]:
        for state in walk(resume):
            if state.done == 3:
                room = (run / names.METRICS).stat().st_size + 9
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
            yield state

    try:
        with pytest.raises(TemporemError, match="File too large; expected more room") as error:
            carry_out(run, first=states)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(error.value).startswith(f"cannot write {run / names.METRICS}: ")
    assert state_in(run, "first").done == 2
    assert_complete(run, resume(run))


def test_a_log_that_does_not_reach_the_disk_is_one_line(run, monkeypatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    store = RunStore(run, SINGLE_PROCESS, 0.0)
    store.open()
    monkeypatch.setattr("temporem.runs.persistence.sync", full)
    with pytest.raises(TemporemError, match=r"cannot write .*metrics\.jsonl: Disk quota exceeded"):
        store.follow("first", walk, Walk.from_parts)
    assert not (run / names.state_file("first")).exists()


# --- numbers that are not finite ---


def spoilt(step: int, **change: Any) -> States:
    def states(resume: Walk | None) -> Iterator[Walk]:
        for state in walk(resume):
            yield replace(state, **change) if state.done == step else state

    return states


NAN = torch.full((3,), math.nan, dtype=torch.float64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": NAN}, r"first diverged at step 3: .*position has NaN or infinite entries"),
        ({"record": {"step": 3, "loss": math.inf}}, r"first diverged at step 3: loss is inf"),
    ],
)
def test_a_state_that_is_not_finite_is_not_kept(run, change, message) -> None:
    for _ in range(2):
        with pytest.raises(TemporemError, match=message) as error:
            carry_out(run, first=spoilt(3, **change))
        assert f"{run / names.state_file('first')} holds the last state" in str(error.value)
        assert state_in(run, "first").done == 2
    assert_complete(run, resume(run))


def test_a_state_that_is_not_sound_is_not_kept(run) -> None:
    with pytest.raises(Killed):
        carry_out(run, first=spoilt(2, sound=False), killed_after=2)
    assert state_in(run, "first").done == 1
    assert_complete(run, resume(run))


@pytest.mark.usefixtures("_listening")
def test_ctrl_c_keeps_the_last_sound_state(run) -> None:
    def states(resume: Walk | None) -> Iterator[Walk]:
        for state in spoilt(2, sound=False)(resume):
            if state.done == 2:
                signal.raise_signal(signal.SIGINT)
            yield state

    with pytest.raises(KeyboardInterrupt):
        carry_out(run, first=states, short_steps=True)
    assert state_in(run, "first").done == 1
    assert_complete(run, resume(run))


def test_a_first_state_that_is_not_finite_leaves_none(run) -> None:
    with pytest.raises(TemporemError, match="first diverged") as error:
        carry_out(run, first=spoilt(1, position=NAN))
    assert "holds the last state" not in str(error.value)
    assert list((run / names.CHECKPOINT).iterdir()) == []


# --- states and logs that cannot be ---


def change_parts(path: Path, change: Callable[[Parts], Parts]) -> None:
    save_checkpoint(path, change(load_checkpoint(path)))


def change_document(**values: Any) -> Callable[[Path], None]:
    return lambda path: change_parts(
        path, lambda parts: replace(parts, document={**parts.document, **values})
    )


def change_position(position: Tensor) -> Callable[[Path], None]:
    return lambda path: change_parts(
        path, lambda parts: replace(parts, tensors={"position": position})
    )


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "checksum": (flip_a_bit, "its checksum is wrong"),
    "dtype": (change_position(torch.zeros(3)), "position is torch.float32"),
    "shape": (change_position(torch.zeros(4).double()), "position is 4"),
    "scalar": (change_position(torch.zeros(()).double()), "position is a scalar"),
    "name": (
        lambda p: change_parts(p, lambda parts: replace(parts, tensors={})),
        "position is missing",
    ),
    "kind": (
        lambda p: change_parts(p, lambda parts: replace(parts, kind="run")),
        "it holds run, not walk",
    ),
    "count": (change_document(done=7), "done is 7"),
    "lines": (change_document(log_lines=-1), "log_lines is -1"),
    "flag": (change_document(finished="no"), "finished is no"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "not a readable checkpoint"),
    "empty": (lambda p: p.write_bytes(b""), "not a readable checkpoint"),
    "text": (lambda p: p.write_text("state" * 100), "not a readable checkpoint"),
    "folder": (lambda p: (p.unlink(), p.mkdir()), "not a readable checkpoint"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_state_is_refused(what, stopped) -> None:
    damage, message = DAMAGE[what]
    file = stopped / names.state_file("second")
    damage(file)
    before = (stopped / names.MODEL).exists()
    with pytest.raises(TemporemError, match="start another run") as error:
        resume(stopped)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert (stopped / names.MODEL).exists() == before


@pytest.mark.parametrize("name", [names.METRICS, names.CHECKPOINT, names.state_file("second")])
def test_nothing_is_written_through_a_link(name, stopped, tmp_path) -> None:
    """A run may have come from anywhere; what its links point to is somebody else's."""
    elsewhere = tmp_path / "elsewhere"
    (stopped / name).rename(elsewhere)
    (stopped / name).symlink_to(elsewhere)
    files = [elsewhere] if elsewhere.is_file() else sorted(elsewhere.iterdir())
    before = [file.read_bytes() for file in files]
    with pytest.raises(TemporemError, match="is a link"):
        resume(stopped)
    if name == names.CHECKPOINT:
        with pytest.raises(TemporemError, match="is a link"):
            RunStore(stopped, SINGLE_PROCESS, 0).close()
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize(
    "left", ["", '{"part": "first", "step": 1}\n', '{"part": "first", "step": 1}\n{"pa']
)
def test_lines_that_somebody_has_taken_from_a_log_do_not_come_twice(stopped, left) -> None:
    (stopped / names.METRICS).write_text(left)
    np.testing.assert_array_equal(resume(stopped), expected_end())
    whole = left[: left.rfind("\n") + 1].splitlines()
    records = read_metrics(stopped)
    assert records[: len(whole)] == [json.loads(line) for line in whole]
    assert [r["step"] for r in records[len(whole) :]] == [3]


def test_no_log_has_no_records(tmp_path) -> None:
    assert read_metrics(tmp_path) == []


def test_records_of_one_part_can_be_read_alone(run) -> None:
    carry_out(run)
    assert [r["part"] for r in read_metrics(run, "second")] == ["second"] * 2
    (run / names.METRICS).write_text("[1]\n")
    with pytest.raises(TemporemError, match=r"metrics\.jsonl line 1: not a JSON object"):
        read_metrics(run)


def test_a_pipe_in_the_place_of_a_log_keeps_nobody_waiting(run) -> None:
    os.mkfifo(run / names.METRICS)
    with pytest.raises(TemporemError, match=r"metrics\.jsonl .*is not a file"):
        carry_out(run)
