"""Learning of poses together with a network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.model import MovieVAE
from temporem.frames.batch import Batch
from temporem.physics.poses import Poses
from temporem.physics.rotations import nearest_rotation
from temporem.poses.table import PoseTable

_LEVER = 0.25  # from a molecule's centre to its edge, in box lengths
_UNKNOWN_SD_DEGREES = 2.0  # of given poses; of their shifts, as far as that moves the edge
_LEAST_SD = 1e-3  # degrees and Å
_ADAM_MEMORY = 1000  # steps that Adam's second moment goes back, at most


@dataclass(frozen=True, eq=False)
class LearnedPoses:
    """Settings of learned poses: a table with a free pose of every frame.

    Attributes:
        given: poses of the frames, with standard deviations if known; the table starts there.
        shift_sd: prior standard deviation of shifts about those of the frames, in box lengths.
        step_degrees: approximate turn that a pose of a table may make in an epoch; shifts move as
            far as the edge of the molecule does in such a turn.
    """

    given: Poses | None = None
    shift_sd: float = 0.03
    step_degrees: float = 0.5

    def build(self, encoded: EncodedFrames) -> PoseTable:
        """Make the table, on the CPU."""
        frames = encoded.frames
        length = frames.forward_model.box * frames.forward_model.pixel_size_angstrom
        prior_sd = self.shift_sd * length
        turn_sd, shift_sd = self._spread(len(frames), length)
        return PoseTable(frames.rotations.cpu(), turn_sd, shift_sd, prior_sd, _LEVER * length)

    def _spread(self, n_frames: int, length: float) -> tuple[Tensor, Tensor]:
        """First standard deviations ``(N,)``: of turns, degrees, and of shifts, Å."""
        given = self.given
        if given is None or given.angle_sd_degrees is None or given.shift_sd_angstrom is None:
            turn_sd = torch.full((n_frames,), _UNKNOWN_SD_DEGREES)
            edge = math.radians(_UNKNOWN_SD_DEGREES) * _LEVER * length
            return turn_sd, torch.full_like(turn_sd, edge)
        return given.angle_sd_degrees.clamp(min=_LEAST_SD), given.shift_sd_angstrom.clamp(
            min=_LEAST_SD
        )


def pose_rate(step_degrees: float, steps_per_epoch: int) -> float:
    """Compute Adam's step size for the entries of a frame, which get one gradient in an epoch.

    Adam's second moment averages over up to a thousand steps. For one gradient in the E steps of an
    epoch, an entry moves by ``√E`` times the step size before its next gradient.
    """
    return math.radians(step_degrees) / math.sqrt(min(steps_per_epoch, _ADAM_MEMORY))


def encode_in_current_poses(model: MovieVAE, encoded: EncodedFrames, batch: Batch) -> Batch:
    """Add the encoder input in the poses learned so far, if it depends on them."""
    if not encoded.moving_poses or model.poses is None:
        return batch
    with torch.no_grad():
        posterior = model.poses(batch.rows)
        return encoded.encode(batch, posterior.rotations, posterior.shifts_angstrom)


def learned_poses(model: MovieVAE, encoded: EncodedFrames, centres_angstrom: Tensor) -> Poses:
    """Collect the poses of all N frames.

    Args:
        model: a trained model with learned poses.
        encoded: the frames.
        centres_angstrom: displacements at which the frames were centred, ``(N, 2)``.
    """
    assert model.poses is not None
    with torch.no_grad():
        posterior = model.poses(torch.arange(len(encoded)))
        turn_sd, shift_sd = posterior.spread()
    return Poses(
        rotations=nearest_rotation(posterior.rotations.double().cpu()),
        shifts_angstrom=centres_angstrom + posterior.shifts_angstrom.double().cpu(),
        angle_sd_degrees=turn_sd.double().cpu(),
        shift_sd_angstrom=shift_sd.double().cpu(),
    )
