"""The choice of ``--poses auto``: take given poses, or refine them where they are off."""

from __future__ import annotations

from dataclasses import replace

import torch

from temporem.checks import Verdict
from temporem.checks.pose_errors import PoseErrorCheck
from temporem.frames.frames import prepare_frames
from temporem.poses.errors import measure_pose_errors
from temporem.runs.config import RunConfig
from temporem.runs.held_out import movies_of_run
from temporem.runs.methods.base import Task

_OFF = {"source": "refine", "learned": "none"}
_EXACT = {"source": "known"}


def settle_poses(task: Task) -> Task:
    """Measure how far given poses are off, and settle their source, which a run keeps.

    The frames that were prepared for it, and the errors, go on with the task.
    """
    ordered, training = movies_of_run(task.dataset, task.config)
    frames = prepare_frames(
        ordered, task.config.data, training, torch.device("cpu"), processes=task.processes
    )
    errors = measure_pose_errors(frames)
    finding = PoseErrorCheck().judge(errors, task.dataset.pixel_size_angstrom, task.processes)
    off = finding.verdict == Verdict.WARNING
    return replace(
        task,
        config=with_settled(task.config, **_OFF if off else _EXACT),
        as_given=frames,
        pose_errors=errors,
        doubts=[*task.doubts, finding] if off else task.doubts,
    )


def with_settled(config: RunConfig, **settled: str) -> RunConfig:
    """Settings with the source of the poses, or the way they are learned, settled."""
    return config.model_copy(update={"poses": config.poses.model_copy(update=settled)})
