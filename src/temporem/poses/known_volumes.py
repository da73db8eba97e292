"""Poses of frames in volumes that are known, as those of a finished run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.physics.poses import Poses
from temporem.poses.estimates import PoseEstimates
from temporem.poses.folds import FOLDS, FoldedFrames
from temporem.poses.improvement import improve_poses
from temporem.poses.settings import PoseSettings
from temporem.progress import Progress


def find_poses_in(
    mean: Tensor,
    components: Tensor | None,
    frames: Frames,
    given: Poses,
    settings: PoseSettings,
    *,
    window_radius: float = 0.9,
    progress: Progress | None = None,
) -> Poses:
    """Find the poses of N frames in known volumes: one search and one refinement.

    Args:
        mean: mean volume μ in units of the images' noise, ``(D, D, D)``.
        components: U of ``μ + Σ_j z_j U_j``, the greatest first, ``(q, D, D, D)``: latents are
            found with the poses. None where frames show μ alone.
        frames: frames on the CPU, centred by the shifts of the given poses.
        given: poses to start from; with ``source=estimate`` their rotations are not looked at.
        settings: ``source``: estimate looks everywhere, refine around given poses; width of shifts.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        progress: receives the progress.
    """
    progress, n = progress or Progress(), len(frames)
    model, done = frames.forward_model, 0

    def count(n_frames: int) -> None:
        nonlocal done
        done += n_frames
        progress(done, n, "poses")

    folded = FoldedFrames(
        model,
        frames.source,
        np.full(n, FOLDS),  # no frame is in the volumes
        settings.shift_sd * model.box * model.pixel_size_angstrom,
        window_radius,
    )
    everywhere = settings.source == "estimate"
    start = torch.eye(3).expand(n, 3, 3) if everywhere else given.rotations
    improved = improve_poses(
        folded,
        mean[None],
        PoseEstimates.at(start),
        model.box / 2,
        scope="everywhere" if everywhere else "around",
        around_degrees=settings.around_degrees,
        components=components,
        on_frames=count,
    )
    poses = improved.estimates.poses
    return replace(poses, shifts_angstrom=given.shifts_angstrom + poses.shifts_angstrom)
