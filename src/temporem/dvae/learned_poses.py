"""Poses that are learned during training: where they start, and what becomes of them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.dvae.model import FrameBatch, MovieVAE
from temporem.frames.dataset import Dataset
from temporem.frames.frames import PreparedFrames
from temporem.frames.source import groups_of
from temporem.physics.rotations import nearest_rotation
from temporem.poses.head import PoseHead
from temporem.poses.table import PosePosterior, PoseTable
from temporem.runs.config import PosesConfig, RunConfig
from temporem.runs.poses import FoundPoses

_LEVER = 0.25  # from a molecule's centre to its edge, in box lengths
_UNKNOWN_SD = 2.0  # degrees, of given poses to start with; of shifts, as far as that moves the edge
_LEAST_SD = 1e-3  # degrees and Å
_FRAMES = 100  # looked at together, at all frequencies
_ADAM_MEMORY = 1000  # steps that the second moment goes back, at most


def starting_poses(
    config: RunConfig, frames: PreparedFrames, found: FoundPoses | None
) -> PoseTable | PoseHead | None:
    """What learns poses, as it begins.

    Args:
        config: of the run.
        frames: centred by their shifts; a table starts at their rotations.
        found: with the spread of poses that the run found.
    """
    model = frames.forward_model
    length = model.box * model.pixel_size_angstrom
    prior_sd = config.poses.shift_sd * length
    if config.learned_poses == "none":
        return None
    if config.learned_poses == "head":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return PoseHead(config.model.encoder_width, prior_sd).to(frames.device)
    if found is None:
        turn_sd = torch.full((len(frames),), _UNKNOWN_SD)
        shift_sd = torch.full_like(turn_sd, math.radians(_UNKNOWN_SD) * _LEVER * length)
    else:
        turn_sd = found.angle_sd_degrees.clamp(min=_LEAST_SD)
        shift_sd = found.shift_sd_angstrom.clamp(min=_LEAST_SD)
    table = PoseTable(frames.rotations.cpu(), turn_sd, shift_sd, prior_sd, _LEVER * length)
    return table.to(frames.device)


def empty_poses(config: RunConfig, n_frames: int) -> PoseTable | PoseHead | None:
    """What parameters and buffers of learned poses can be loaded into."""
    if config.learned_poses == "none":
        return None
    if config.learned_poses == "head":
        return PoseHead(config.model.encoder_width, 1.0)
    one = torch.ones(n_frames)
    return PoseTable(torch.eye(3).repeat(n_frames, 1, 1), one, one, 1.0, 1.0)


def pose_rate(config: PosesConfig, steps_per_epoch: int) -> float:
    """Adam's step for the entries of a frame that has one gradient in an epoch of E steps.

    Its second moment, a mean over up to a thousand steps, is then the gradient's square over E, and
    the entry moves by ``√E`` times the rate until the next one.
    """
    return math.radians(config.step_degrees) / math.sqrt(min(steps_per_epoch, _ADAM_MEMORY))


def encode_in_current_poses(
    model: MovieVAE, frames: PreparedFrames, batch: FrameBatch
) -> FrameBatch:
    """A batch as its encoder sees it, in the poses learned so far where it depends on them."""
    if not (frames.moving_poses and isinstance(model.poses, PoseTable)):
        return batch
    with torch.no_grad():
        posterior = model.poses(batch.rows)
        return frames.seen(batch, posterior.rotations, posterior.shifts_angstrom)


def learned_poses(
    model: MovieVAE,
    frames: PreparedFrames,
    dataset: Dataset,
    z: Tensor,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> FoundPoses:
    """The poses of all N frames at the end of a run; of two the one that explains a frame better.

    Args:
        model: with learned poses.
        frames: centred by the shifts of the dataset.
        dataset: where they come from.
        z: their latents, ``(N, q)``.
        world: the processes that share the work.
    """
    n, device = len(frames), frames.device
    rotations, shifts = torch.zeros(n, 3, 3, device=device), torch.zeros(n, 2, device=device)
    turn_sd, shift_sd = torch.zeros(2, n, device=device)
    movies = processes.share(frames.movies)

    def keep(rows: Tensor, posterior: PosePosterior, mine: Tensor) -> None:
        """Of the frames of a posterior those that are chosen, bool ``(F,)``."""
        chosen = rows[mine]
        rotations[chosen] = posterior.rotations[mine]
        shifts[chosen] = posterior.shifts_angstrom[mine]
        turn_sd[chosen], shift_sd[chosen] = (part[mine] for part in posterior.spread())

    with torch.no_grad():
        if isinstance(model.poses, PoseTable) and movies:  # there is nothing to choose from
            rows = torch.from_numpy(np.concatenate(movies)).to(device)
            keep(rows, model.poses(rows), torch.ones_like(rows, dtype=torch.bool))
            movies = []
        for batch in frames.batches(groups_of(movies, _FRAMES)):
            best = model.scored(batch, z[batch.rows])[2]
            for which, posterior in enumerate(model.pose_posteriors(batch)):
                keep(batch.rows, posterior, best == which)
    found = (rotations, shifts, turn_sd, shift_sd)
    processes.add(*found)
    rotations, shifts, turn_sd, shift_sd = (part.double().cpu() for part in found)
    return FoundPoses(
        rotations=nearest_rotation(rotations),
        shifts_angstrom=dataset.shifts_angstrom + shifts,
        angle_sd_degrees=turn_sd,
        shift_sd_angstrom=shift_sd,
    )
