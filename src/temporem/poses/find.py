"""The search for poses of all frames: from images alone, or from poses a few degrees off.

A search takes these steps:

1. starts, without given poses: low-resolution volumes from random starts, until two of them agree;
   the likeliest is kept (:mod:`temporem.poses.ab_initio`);
2. iterations: every frame against the volume of the other folds of movies, then new volumes
   (:mod:`temporem.poses.improvement`). Resolution rises as half sets agree;
3. iterations with motion: a linear model of the frames at low resolution, in the poses so far
   (:mod:`temporem.linear.cross_fit`), then every frame against all volumes of the model; its latent
   is found with its pose. So frames whose conformation is too far from the mean are found one after
   the other. Then frames of like latents are turned together, so that most of the molecule stays
   where it is (:mod:`temporem.poses.conformational_alignment`).

With a diffusion prior, the poses of a movie's frames inform one another
(:mod:`temporem.poses.chain`); ``auto`` fits the coefficient after every step
(:mod:`temporem.poses.diffusion`).

In the end the volume is searched for rotational symmetry, because poses are determined only up to
it (:mod:`temporem.poses.symmetry`). Random starts are compared: the fraction of the frames on which
two of them agree shows if poses were found at all.

Every step is a function of the state before it. So a resumed search ends like one that was never
stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import ProcessGroup
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.intervals import frame_steps
from temporem.frames.settings import DataSettings
from temporem.io.state import Parts
from temporem.physics.poses import Poses
from temporem.poses.ab_initio import ROUNDS, Round
from temporem.poses.errors import PoseErrors
from temporem.poses.search_state import FoundPoses, PoseSearchState
from temporem.poses.search_steps import SearchSteps
from temporem.poses.settings import PoseSettings
from temporem.progress import Progress

_LEAST_MOVIES = 2  # half sets need them


def find_poses(
    data: Dataset,
    *,
    source: Literal["estimate", "refine"] = "estimate",
    effort: int = 6,
    around_degrees: float = 15.0,
    diffusion: Literal["none", "auto"] | float = "auto",
    temporal: bool = True,
    motion: bool = True,
    invert: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> FoundPoses:
    """Find poses of all frames, in memory.

    Args:
        data: the movies.
        source: ``estimate`` takes images alone, ``refine`` starts from the dataset's poses.
        effort: largest number of random starts of ``estimate``; two that agree are enough.
        around_degrees: distance about each axis that ``refine`` looks around given poses.
        diffusion: prior that links the poses of neighbouring frames: none, a coefficient in
            degrees² per second, or auto, which fits it.
        temporal: dynamics within movies, in the linear model of the motion.
        motion: find poses together with the motion; without, all frames show one volume.
        invert: flip the sign of the images, for dark molecules.
        seed: seed of random numbers; poses from images alone depend on it as a whole, at least by
            a turn and the hand.
        progress: receives the progress of the search.

    Raises:
        TemporemError: fewer than two movies, no poses to refine, images without noise.

    Example:
        >>> data = tm.read_dataset("movies")
        >>> poses = tm.find_poses(data)
        >>> poses.symmetry.name, poses.starts_alike
        ('C1', 0.93)
        >>> fit = tm.fit_linear(data, poses=poses)
    """
    if data.n_movies < _LEAST_MOVIES:
        raise TemporemError(
            f"{data.path} has one movie",
            expected="at least 2 movies, for half sets",
            hint="add movies",
        )
    if source == "refine":
        data.require_poses()
    else:
        data = data.without_poses()
    settings = PoseSettings(
        source=source, effort=effort, around_degrees=around_degrees, diffusion=diffusion
    )
    prepared = DataSettings(invert=invert)
    posed = source == "refine"
    frames = prepare_frames(data, prepared, data.movies, torch.device("cpu"), posed=posed)
    log: list[Mapping[str, Any]] = []
    states = pose_states(
        frames,
        data.poses,
        settings,
        steps=frame_steps(data),
        temporal=temporal,
        motion=motion,
        seed=seed,
        progress=progress,
    )
    for state in states:
        log.append(state.record or {})
    return replace(state.result(), log=tuple(log))


def pose_states(
    frames: Frames,
    given: Poses,
    settings: PoseSettings,
    *,
    steps: np.ndarray,
    temporal: bool = True,
    motion: bool = True,
    iterations: int = 6,
    motion_iterations: int = 8,
    components: int = 2,
    rounds: Sequence[Round] = ROUNDS,
    window_radius: float = 0.9,
    seed: int = 0,
    errors: PoseErrors | None = None,
    resume: PoseSearchState | None = None,
    progress: Progress | None = None,
) -> Iterator[PoseSearchState]:
    """Search for poses step by step; yields the state after every step.

    With several processes the first one works; at the end of every step the others take its state,
    so that all yield the same states in step.

    Args:
        frames: frames on the CPU, where the search works. Volumes are made of the training movies;
            poses of the others are found too.
        given: poses of the dataset; the frames are centred by their shifts.
        settings: settings of the search.
        steps: time from the frame before to each frame, ``(N,)``, from
            :func:`temporem.frames.intervals.frame_steps`.
        temporal: dynamics within movies, for the linear model of what moves.
        motion: find poses together with what moves, where there are frames enough.
        iterations: number of iterations with one volume.
        motion_iterations: number of iterations with a volume that changes.
        components: number of components of the linear model.
        rounds: rounds of every random start.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: seed of random numbers.
        errors: errors of the given poses, if they were measured already.
        resume: state to continue from.
        progress: receives the progress of the search.
    """
    search = SearchSteps(
        frames=frames,
        given=given,
        settings=settings,
        steps=steps,
        temporal=temporal,
        motion=motion,
        iterations=iterations,
        motion_iterations=motion_iterations,
        components=components,
        rounds=rounds,
        window_radius=window_radius,
        seed=seed,
        errors=errors,
    )
    scale = progress or Progress()
    ends = np.cumsum([0.0, *search.times]) / sum(search.times)
    state = resume or PoseSearchState(given)
    while not state.finished:
        new = None
        if frames.processes.is_main:
            started = time.monotonic()
            new = search.step(state, scale.part(*ends[state.done : state.done + 2].tolist()))
            seconds = state.seconds + time.monotonic() - started
            record = {**(new.record or {}), "seconds": round(seconds, 3)}
            new = replace(new, seconds=seconds, record=record)
        state = _from_first(new, given, frames.processes)
        yield state
    scale(1, 1, "poses")


def _from_first(
    state: PoseSearchState | None, given: Poses, processes: ProcessGroup
) -> PoseSearchState:
    """The state of the first process, in every process.

    A message that says how long the next one is, then what is in the state, then its tensors.
    """
    if processes.size == 1:
        assert state is not None
        return state
    said, tensors = b"", {}
    if state is not None:
        parts = state.parts()
        tensors = {name: tensor.contiguous() for name, tensor in parts.tensors.items()}
        shapes = [[k, str(t.dtype).removeprefix("torch."), t.shape] for k, t in tensors.items()]
        said = json.dumps([parts.document, state.record, shapes]).encode()
    length = torch.tensor(len(said))
    processes.same(length)
    message = torch.frombuffer(bytearray(said.ljust(int(length), b"\0")), dtype=torch.uint8)
    processes.same(message)
    document, record, shapes = json.loads(bytes(message.tolist()))
    found: dict[str, Tensor] = {}
    for name, dtype, shape in shapes:
        empty = torch.empty(shape, dtype=getattr(torch, dtype))
        found[name] = tensors.get(name, empty)
        processes.same(found[name])
    if state is not None:
        return state
    parts = Parts(PoseSearchState.kind, found, document)
    return replace(PoseSearchState.from_parts(parts, given), record=record)
