"""The search for poses of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from temporem.frames.intervals import frame_steps
from temporem.io.state import Parts
from temporem.physics.poses import Poses
from temporem.poses.find import pose_states
from temporem.poses.search_state import PoseSearchState
from temporem.progress import Progress
from temporem.runs.methods import find_method
from temporem.runs.methods.base import Task
from temporem.runs.persistence import RunStore

PART = PoseSearchState.kind


@dataclass(frozen=True, eq=False)
class RunPoses:
    """Poses that a run found.

    Attributes:
        poses: poses of all frames, with their spread.
        linked: they come from whole movies; a free pose for each frame would lose that.
        facts: symmetry, agreement of random starts and diffusion, for ``run.json``.
    """

    poses: Poses
    linked: bool
    facts: Mapping[str, Any]


def find_run_poses(task: Task, store: RunStore, progress: Progress) -> RunPoses:
    """Search for the poses of a run, from its last checkpoint if there is one.

    Only methods with dynamics link neighbouring frames. Homogeneous reconstructions search without
    motion.
    """
    config, given = task.config, task.dataset.poses
    frames = task.prepare(torch.device("cpu"), posed=config.poses.source != "estimate")
    several = any(len(movie) > 1 for movie in task.training)

    def states(resume: PoseSearchState | None) -> Iterator[PoseSearchState]:
        return pose_states(
            frames,
            given,
            config.poses,
            steps=frame_steps(task.dataset),
            temporal=several and find_method(config.method).uses_dynamics(config),
            motion=config.method != "homogeneous",
            window_radius=config.data.window_radius,
            seed=config.seed,
            errors=task.pose_errors,
            resume=resume,
            progress=progress,
        )

    def load(stored: Parts) -> PoseSearchState:
        return PoseSearchState.from_parts(stored, given)

    found = store.follow(PART, states, load).result()
    symmetry = None if found.symmetry is None else asdict(found.symmetry)
    poses = Poses(
        found.rotations, found.shifts_angstrom, found.angle_sd_degrees, found.shift_sd_angstrom
    )
    facts = {
        "symmetry": symmetry,
        "starts_alike": found.starts_alike,
        "pose_diffusion": found.diffusion,
    }
    return RunPoses(poses, found.diffusion is not None, facts)
