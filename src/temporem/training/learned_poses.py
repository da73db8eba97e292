"""Poses that are learned during training: where they start, and what becomes of them."""

from __future__ import annotations

import math

import torch

from temporem.data.dataset import MovieDataset
from temporem.models.learned_poses import PoseTable
from temporem.models.vae import FrameBatch, MovieVAE
from temporem.physics.rotations import nearest_rotation
from temporem.training.config import PosesConfig, RunConfig
from temporem.training.frames import PreparedFrames
from temporem.training.poses import FoundPoses

_LEVER = 0.25  # from a molecule's centre to its edge, in box lengths
_UNKNOWN_SD = 2.0  # degrees, of given poses to start with; of shifts, as far as that moves the edge
_LEAST_SD = 1e-3  # degrees and Å
_ADAM_MEMORY = 1000  # steps that the second moment goes back, at most


def starting_table(
    config: RunConfig, frames: PreparedFrames, found: FoundPoses | None
) -> PoseTable:
    """A table of the poses that the frames are in.

    Args:
        config: of the run.
        frames: centred by their shifts.
        found: with the spread of poses that the run found.
    """
    model = frames.forward_model
    length = model.box * model.pixel_size_angstrom
    if found is None:
        turn_sd = torch.full((len(frames),), _UNKNOWN_SD)
        shift_sd = torch.full_like(turn_sd, math.radians(_UNKNOWN_SD) * _LEVER * length)
    else:
        turn_sd = found.angle_sd_degrees.clamp(min=_LEAST_SD)
        shift_sd = found.shift_sd_angstrom.clamp(min=_LEAST_SD)
    table = PoseTable(
        frames.rotations.cpu(), turn_sd, shift_sd, config.poses.shift_sd * length, _LEVER * length
    )
    return table.to(frames.device)


def empty_table(n_frames: int) -> PoseTable:
    """A table to load the parameters and buffers of another one into."""
    one = torch.ones(n_frames)
    return PoseTable(torch.eye(3).repeat(n_frames, 1, 1), one, one, 1.0, 1.0)


def pose_rate(config: PosesConfig, steps_per_epoch: int) -> float:
    """Adam's step for the entries of a frame that has one gradient in an epoch of E steps.

    Its second moment, a mean over up to a thousand steps, is then the gradient's square over E, and
    the entry moves by ``√E`` times the rate until the next one.
    """
    return math.radians(config.step_degrees) / math.sqrt(min(steps_per_epoch, _ADAM_MEMORY))


def see(model: MovieVAE, frames: PreparedFrames, batch: FrameBatch) -> FrameBatch:
    """A batch as its encoder sees it, in the poses learned so far where it depends on them."""
    if model.poses is None or not frames.moving_poses:
        return batch
    with torch.no_grad():
        posterior = model.poses(batch.rows)
        return frames.seen(batch, posterior.rotations, posterior.shifts_angstrom)


def learned_poses(table: PoseTable, dataset: MovieDataset) -> FoundPoses:
    """The poses of all frames of a dataset, of which the table holds changes."""
    with torch.no_grad():
        posterior = table(torch.arange(dataset.n_frames, device=table.turns.device))
        turn_sd, shift_sd = posterior.spread()
    shifts = posterior.shifts_angstrom.double().cpu()
    return FoundPoses(
        rotations=nearest_rotation(posterior.rotations.double().cpu()),
        shifts_angstrom=dataset.shifts_angstrom + shifts,
        angle_sd_degrees=turn_sd.double().cpu(),
        shift_sd_angstrom=shift_sd.double().cpu(),
    )
