"""Learning of poses together with a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.model import MovieVAE
from temporem.dvae.settings import NetworkSettings
from temporem.frames.batch import Batch
from temporem.frames.source import groups_of
from temporem.physics.poses import Poses
from temporem.physics.rotations import nearest_rotation
from temporem.poses.head import PoseHead
from temporem.poses.table import PosePosterior, PoseTable

_LEVER = 0.25  # from a molecule's centre to its edge, in box lengths
_UNKNOWN_SD_DEGREES = 2.0  # of given poses; of their shifts, as far as that moves the edge
_LEAST_SD = 1e-3  # degrees and Å
_FRAMES = 100  # at a time, at all frequencies
_ADAM_MEMORY = 1000  # steps that Adam's second moment goes back, at most


@dataclass(frozen=True, eq=False)
class LearnedPoses:
    """Settings of learned poses.

    Attributes:
        learner: ``table`` for a free pose of every frame, which starts at the poses of the frames;
            ``head`` for a network on the features of the encoder, which starts from nothing.
        given: poses of the frames, with standard deviations if known; a table starts there.
        shift_sd: prior standard deviation of shifts about those of the frames, in box lengths.
        step_degrees: approximate turn that a pose of a table may make in an epoch; shifts move as
            far as the edge of the molecule does in such a turn.
    """

    learner: Literal["table", "head"]
    given: Poses | None = None
    shift_sd: float = 0.03
    step_degrees: float = 0.5

    def build(
        self, encoded: EncodedFrames, network: NetworkSettings, seed: int
    ) -> PoseTable | PoseHead:
        """Make the table, or the head with weights that depend on the seed, on the CPU."""
        frames = encoded.frames
        length = frames.forward_model.box * frames.forward_model.pixel_size_angstrom
        prior_sd = self.shift_sd * length
        if self.learner == "head":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return PoseHead(network.encoder_width, prior_sd)
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
    if not (encoded.moving_poses and isinstance(model.poses, PoseTable)):
        return batch
    with torch.no_grad():
        posterior = model.poses(batch.rows)
        return encoded.encode(batch, posterior.rotations, posterior.shifts_angstrom)


def learned_poses(
    model: MovieVAE, encoded: EncodedFrames, centres_angstrom: Tensor, z: Tensor
) -> Poses:
    """Collect the poses of all N frames; of two candidates, the one that explains a frame better.

    Processes share the movies.

    Args:
        model: a trained model with learned poses.
        encoded: the frames.
        centres_angstrom: displacements at which the frames were centred, ``(N, 2)``.
        z: latents of the frames, ``(N, q)``.
    """
    frames, device = encoded.frames, encoded.device
    n = len(frames)
    rotations, shifts = torch.zeros(n, 3, 3, device=device), torch.zeros(n, 2, device=device)
    turn_sd, shift_sd = torch.zeros(2, n, device=device)
    movies = frames.processes.share(frames.movies)

    def keep(rows: Tensor, posterior: PosePosterior, mine: Tensor) -> None:
        """Select frames ``chosen``, bool ``(F,)``, from a posterior."""
        chosen = rows[mine]
        rotations[chosen] = posterior.rotations[mine]
        shifts[chosen] = posterior.shifts_angstrom[mine]
        turn_sd[chosen], shift_sd[chosen] = (part[mine] for part in posterior.spread())

    with torch.no_grad():
        if isinstance(model.poses, PoseTable) and movies:  # one posterior for each frame
            rows = torch.from_numpy(np.concatenate(movies)).to(device)
            keep(rows, model.poses(rows), torch.ones_like(rows, dtype=torch.bool))
            movies = []
        for batch in encoded.batches(groups_of(movies, _FRAMES)):
            rows = batch.rows.to(device)
            best = model.scored(batch, z[rows])[2]
            for which, posterior in enumerate(model.pose_posteriors(batch)):
                keep(rows, posterior, best == which)
    found = (rotations, shifts, turn_sd, shift_sd)
    frames.processes.add(*found)
    rotations, shifts, turn_sd, shift_sd = (part.double().cpu() for part in found)
    return Poses(
        rotations=nearest_rotation(rotations),
        shifts_angstrom=centres_angstrom + shifts,
        angle_sd_degrees=turn_sd,
        shift_sd_angstrom=shift_sd,
    )
