"""The pose head of a run: trained in the poses that a search found, and kept for new movies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import torch

from temporem.distributed import SINGLE_PROCESS
from temporem.frames.frames import Frames
from temporem.io.checkpoint import load_checkpoint, save_checkpoint
from temporem.io.state import Parts
from temporem.physics.poses import Poses
from temporem.physics.rotations import geodesic_degrees
from temporem.poses.estimates import PoseEstimates
from temporem.poses.head import PoseHead
from temporem.poses.head_training import (
    HeadLesson,
    HeadState,
    empty_head,
    head_states,
    infer_answers,
    lesson_from,
    load_head,
    new_head,
)
from temporem.poses.known_volumes import KnownVolumes
from temporem.progress import Progress
from temporem.runs import names
from temporem.runs.methods.base import Task
from temporem.runs.persistence import RunStore
from temporem.runs.run import Run

PART = HeadState.kind
_LESSON_SHARE = 0.05  # of the time


@dataclass(frozen=True, eq=False)
class HeadPoses:
    """Poses by the head of a run.

    Attributes:
        poses: its answers for all frames, refined in the volumes that it learned from.
        apart_degrees: median angle from the search's poses to these answers, not refined.
    """

    poses: Poses
    apart_degrees: float


def poses_of_run_head(task: Task, found: Poses, store: RunStore, progress: Progress) -> HeadPoses:
    """Train the head of a run, keep it, and infer the poses of all frames by it.

    Args:
        task: the run, with its dataset as it was given.
        found: poses that a search found, from which the head learns.
        store: keeps the states of the training.
        progress: receives the progress.
    """
    settings, seed = task.config.poses, task.config.seed
    frames = replace(task.prepare(torch.device("cpu"), posed=False), processes=SINGLE_PROCESS)
    centres = task.dataset.poses.shifts_angstrom

    @cache
    def lesson() -> HeadLesson:  # not before a stored state is found to be sound
        placed = replace(found, shifts_angstrom=found.shifts_angstrom - centres)
        return lesson_from(frames, placed, window_radius=task.config.data.window_radius, seed=seed)

    def states(resume: HeadState | None) -> Iterator[HeadState]:
        return head_states(
            lesson(),
            new_head(frames, lesson(), seed),
            images=settings.head_images,
            seed=seed,
            resume=resume,
            progress=progress.part(_LESSON_SHARE, 1),
        )

    def load(stored: Parts) -> HeadState:
        return HeadState.from_parts(stored, empty_head(frames), settings.head_images)

    state = store.follow(PART, states, load, short_steps=True)
    task.processes.same(*state.head.state_dict().values())
    if task.processes.is_main:
        save_checkpoint(store.folder / names.HEAD, state.parts())
    guess = _guess(state.head, frames)
    apart = geodesic_degrees(guess.rotations, found.rotations)
    mean, components = lesson().volumes_for(frames.forward_model.box)
    volumes = KnownVolumes(
        frames=frames,
        given=task.dataset.poses,
        mean=mean,
        components=components,
        settings=settings,
        window_radius=task.config.data.window_radius,
        guess=guess,
    )
    poses = volumes.search(lambda n: None).poses
    poses = replace(poses, shifts_angstrom=centres + poses.shifts_angstrom)
    return HeadPoses(poses, float(apart.median()))


def has_head(run: Run) -> bool:
    """Tell whether a run has a head that infers poses."""
    return (run.path / names.HEAD).is_file()


def guess_of_run_head(run: Run, frames: Frames, brighter: float) -> PoseEstimates:
    """Infer poses of new frames by the head of a run, to be refined.

    Args:
        run: a run that :func:`has_head`.
        frames: new frames on the CPU, not in poses.
        brighter: intensity of the molecule beside the noise, that of the run being 1.
    """
    head = load_head(load_checkpoint(run.path / names.HEAD), empty_head(frames))
    return _guess(head, frames, brighter)


def _guess(head: PoseHead, frames: Frames, brighter: float = 1.0) -> PoseEstimates:
    """The most probable answers of a head, as poses to refine."""
    poses = infer_answers(head, frames, brighter).poses()
    start = PoseEstimates.at(poses.rotations)
    return replace(start, shifts_angstrom=poses.shifts_angstrom)
