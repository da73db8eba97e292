"""The search for poses: resumable after every step, the same in all processes, and it finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.blobs import BlobMovies, simulate_blobs
from temporem.distributed import ProcessGroup
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.intervals import frame_steps
from temporem.frames.settings import DataSettings
from temporem.io.state import Parts
from temporem.physics.poses import Poses
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector
from temporem.poses.ab_initio import Round
from temporem.poses.alignment import align_rotations
from temporem.poses.find import find_poses, pose_states
from temporem.poses.search_state import FoundPoses, PoseSearchState
from temporem.poses.settings import PoseSettings
from temporem.progress import Progress

ROUNDS = (*[Round(4, 40)] * 2, Round(5, 35))
SHORT: dict[str, Any] = {
    "iterations": 2,
    "motion_iterations": 1,
    "components": 1,
    "rounds": ROUNDS,
}


def prepared(data: Dataset, training: list[np.ndarray] | None = None, **options: Any) -> Frames:
    movies = data.movies if training is None else training
    return prepare_frames(data, DataSettings(), movies, torch.device("cpu"), posed=False, **options)


def searched(
    frames: Frames, data: Dataset, settings: PoseSettings, **options: Any
) -> Iterator[PoseSearchState]:
    options = {**SHORT, "steps": frame_steps(data), **options}
    return pose_states(frames, data.poses, settings, **options)


def off(blobs: BlobMovies, degrees: float, angstrom: float) -> Dataset:
    """The movies with Gaussian errors of their poses."""
    n, generator = len(blobs.angles), torch.Generator().manual_seed(1)
    turns, moves = torch.randn(n, 5, generator=generator, dtype=torch.float64).split([3, 2], 1)
    turns = rotation_of_vector(np.radians(degrees) / 3**0.5 * turns)
    poses = blobs.dataset.poses
    return blobs.dataset.with_poses(
        Poses(turns @ poses.rotations, poses.shifts_angstrom + angstrom / 2**0.5 * moves)
    )


@pytest.fixture(scope="module")
def small() -> BlobMovies:
    return simulate_blobs([6] * 5, snr=2.0)


@pytest.fixture(scope="module")
def told() -> list[tuple[float, str]]:
    """Progress of the search whose states are kept."""
    return []


@pytest.fixture(scope="module")
def states(small, told) -> list[PoseSearchState]:
    """All states of a search that takes every kind of step."""
    data = small.dataset.without_poses()
    progress = Progress(lambda done, note: told.append((done, note)))
    frames = prepared(data, data.movies[:4])
    return list(searched(frames, data, PoseSettings(**ESTIMATE), progress=progress))


ESTIMATE: dict[str, Any] = {"source": "estimate", "effort": 2, "diffusion": "auto"}


def stored(state: PoseSearchState) -> Parts:
    """The parts of a state as a file would have them."""
    parts = state.parts()
    document = json.loads(json.dumps(parts.document, allow_nan=False))
    return replace(
        parts, tensors={k: t.clone() for k, t in parts.tensors.items()}, document=document
    )


def numbers(state: PoseSearchState) -> tuple[dict[str, Any], dict[str, Tensor]]:
    parts = state.parts()
    return {**parts.document, "seconds": 0}, dict(parts.tensors)


def assert_same(one: PoseSearchState, other: PoseSearchState) -> None:
    document, tensors = numbers(one)
    other_document, other_tensors = numbers(other)
    assert document == other_document
    assert tensors.keys() == other_tensors.keys()
    for name, tensor in tensors.items():
        assert tensor.equal(other_tensors[name]), name
    records = [json.dumps({**state.record, "seconds": 0}) for state in (one, other)]
    assert records[0] == records[1]


@pytest.mark.integration
def test_a_search_goes_through_all_stages_and_concludes(states) -> None:
    stages = [state.record["stage"] for state in states]
    assert stages == ["ab initio"] * 2 + ["poses"] * 2 + ["motion"]
    assert [state.finished for state in states] == [False] * 4 + [True]
    last = states[-1].record
    assert last["symmetry"]["order"] == states[-1].symmetry.order
    assert 0 <= last["starts_alike"] <= 1
    json.dumps([state.record for state in states], allow_nan=False)


@pytest.mark.integration
@pytest.mark.parametrize("step", range(5))
def test_a_search_that_goes_on_from_a_stored_state_takes_the_same_next_step(
    small, states, step: int
) -> None:
    """After every kind of step, to the last bit."""
    data = small.dataset.without_poses()
    resume = None
    if step > 0:
        resume = PoseSearchState.from_parts(stored(states[step - 1]), data.poses)
        assert all(t.is_contiguous() for t in states[step - 1].parts().tensors.values())
    frames = prepared(data, data.movies[:4])
    following = next(searched(frames, data, PoseSettings(**ESTIMATE), resume=resume))
    assert_same(following, states[step])


@pytest.mark.integration
def test_a_finished_search_has_no_step_left(small, states) -> None:
    data = small.dataset.without_poses()
    last = PoseSearchState.from_parts(stored(states[-1]), data.poses)
    frames = prepared(data)
    assert list(searched(frames, data, PoseSettings(**ESTIMATE), resume=last)) == []
    found, again = states[-1].result(), last.result()
    assert found.rotations.equal(again.rotations)
    assert found.angle_sd_degrees.equal(again.angle_sd_degrees)
    assert (found.symmetry, found.starts_alike) == (again.symmetry, again.starts_alike)


DAMAGED: dict[str, dict[str, Any]] = {
    "done": {"done": -1},
    "radius": {"radius": 0},
    "inflation": {"inflation": 0.5},
    "diffusion": {"diffusion": "fast"},
    "starts_alike": {"starts_alike": -1},
    "order": {"symmetry": {}},
}


@pytest.mark.integration
@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_document_is_refused(states, what: str) -> None:
    last = states[-1]
    parts = stored(last)
    parts = replace(parts, document={**parts.document, **DAMAGED[what]})
    with pytest.raises(TemporemError, match=what):
        PoseSearchState.from_parts(parts, last.given)


@pytest.mark.integration
def test_tensors_of_other_frames_are_refused(states) -> None:
    for state, names in ((states[-1], ("rotations", "score")), (states[0], ("starts", "volume"))):
        for name in names:
            parts = stored(state)
            tensors = {**parts.tensors, name: parts.tensors[name][..., :1]}
            with pytest.raises(TemporemError, match=name):
                PoseSearchState.from_parts(replace(parts, tensors=tensors), state.given)
            missing = {k: t for k, t in parts.tensors.items() if k != name}
            with pytest.raises(TemporemError, match="is missing"):
                PoseSearchState.from_parts(replace(parts, tensors=missing), state.given)


def test_the_likeliest_start_is_kept(small) -> None:
    data = small.dataset.without_poses()
    settings = PoseSettings(source="estimate", effort=4)
    frames = prepared(data)
    found = []
    for state in searched(frames, data, settings):
        if state.record["stage"] != "ab initio":
            break
        found.append(state)
    evidences = found[-1].start_evidences
    assert evidences.tolist() == [state.record["log_evidence"] for state in found]
    best = int(evidences.argmax())
    assert found[-1].record["chosen"] == best + 1
    for number, state in enumerate(found):
        likeliest = int(evidences[: number + 1].argmax())
        last = number == len(found) - 1  # goes through more rounds
        assert state.volume.equal(found[likeliest].volume) or last
        assert len(state.starts) == number + 1
    assert evidences.unique().numel() == 4


@pytest.mark.integration
@pytest.mark.usefixtures("states")
def test_progress_never_falls_and_ends_at_the_end(told) -> None:
    done = [fraction for fraction, _ in told]
    assert done == sorted(done)
    assert done[-1] == 1
    assert {note for _, note in told} >= {"poses  iteration 2/2", "poses  with motion 1/1"}
    assert max(b - a for a, b in pairwise(done)) < 0.2


class Rank(ProcessGroup):
    """One of two processes, each a thread."""

    def __init__(self, rank: int, line: Queue) -> None:
        super().__init__(rank, 2)
        self.line = line

    def same(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            if self.is_main:
                self.line.put(tensor.clone())
            else:
                tensor.copy_(self.line.get(timeout=60))


@pytest.mark.integration
def test_processes_yield_the_states_of_the_first_in_step(small) -> None:
    """The others look at no frame."""
    data = small.dataset.without_poses()
    frames, line = prepared(data), Queue()
    others = replace(frames, processes=Rank(1, line), source=None)
    settings, found = PoseSettings(**ESTIMATE), []
    few: dict[str, Any] = {"motion": False, "iterations": 1}

    def follow() -> None:
        found.extend(searched(others, data, settings, **few))

    thread = Thread(target=follow, daemon=True)
    thread.start()
    first = replace(frames, processes=Rank(0, line))
    ours = list(searched(first, data, settings, **few))
    thread.join(timeout=60)
    assert line.empty()
    for one, other in zip(ours, found, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize(("movies", "motion"), [(2, True), (4, False)])
def test_no_motion_is_sought_without_frames_enough_or_where_none_is_wanted(
    movies: int, motion: bool
) -> None:
    data = off(simulate_blobs([4] * movies, snr=5.0), 8, 2)
    settings, frames = PoseSettings(source="refine"), prepared(data)
    found = list(searched(frames, data, settings, iterations=1, motion=motion))
    assert [state.record["stage"] for state in found] == ["poses"]
    assert found[-1].finished


@pytest.fixture(scope="module")
def rigid() -> BlobMovies:
    return simulate_blobs([6] * 10, snr=5.0, arc_degrees=0, shift_sd_angstrom=1.0)


def errors(found: Poses, blobs: BlobMovies) -> Tensor:
    """Angles to the true orientations after an alignment of all, degrees ``(N,)``."""
    true = blobs.dataset.poses.rotations
    return geodesic_degrees(align_rotations(found.rotations, true), true)


@pytest.mark.integration
def test_poses_are_found_from_poses_some_degrees_off(rigid) -> None:
    data, true = off(rigid, 10, 2), rigid.dataset.poses
    found = find_poses(data, source="refine", motion=False)
    error = errors(found, rigid)
    assert error.median() < 0.6 * errors(data.poses, rigid).median()
    assert 0.3 < error.median() / (3**0.5 * found.angle_sd_degrees.median()) < 2
    after, before = (
        (poses.shifts_angstrom - true.shifts_angstrom).norm(dim=-1) for poses in (found, data.poses)
    )
    assert after.median() < 0.5 * before.median()
    assert found.starts_alike is None
    assert found.symmetry.name == "C1"
    assert [record["stage"] for record in found.log] == ["poses"] * 6
    # The result is a record of poses like any other.
    assert isinstance(found, FoundPoses)
    assert data.with_poses(found).poses is found
    assert len(found[:3]) == 3


@pytest.mark.integration
def test_poses_are_found_from_images_alone(rigid) -> None:
    data, settings = rigid.dataset.without_poses(), PoseSettings(source="estimate", effort=2)
    rounds = (*[Round(4, 22)] * 12, *[Round(5, 18)] * 4)
    options = {"iterations": 3, "motion": False, "rounds": rounds}
    *_, last = searched(prepared(data), data, settings, **options)
    error = errors(last.result(), rigid)
    assert error.median() < 5
    assert (error < 15).double().mean() > 0.9
    assert last.starts_alike > 0.2  # by chance, 0.03


def test_poses_to_refine_must_be_there() -> None:
    data = simulate_blobs([4, 4]).dataset
    with pytest.raises(TemporemError, match="has no poses"):
        find_poses(data.without_poses(), source="refine")
    with pytest.raises(TemporemError, match="one movie"):
        find_poses(simulate_blobs([4]).dataset)
