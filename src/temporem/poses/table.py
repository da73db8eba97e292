"""Posteriors of poses that are learned with a network, and a table of them.

The posterior of a frame's pose is ``R = exp([ω]×) R̄``, ``d = d̄ + δ`` with Gaussian ω (about three
axes of the camera) and δ (along two), drawn by reparametrisation (Falorsi et al. 2019 for
rotations). The prior is uniform for rotations, and Gaussian for shifts about the points at which
the images are centred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from temporem.frames.frame_noise import FrameNoise
from temporem.physics.gaussian import gaussian_kl
from temporem.physics.rotations import rotation_of_vector

_LOG_SD_RANGE = (-9.0, -0.7)  # of turns, radians; beyond 30° they are not Gaussian
_SPREAD_STEP = 10.0  # change of a log-deviation that is as large a step as a turn by a radian


@dataclass(frozen=True)
class PosePosterior:
    """Posterior of the poses of F frames.

    Attributes:
        rotations: R̄, molecule to camera, ``(F, 3, 3)``.
        turn_log_sd: logarithm of the standard deviation of ω, radians, ``(F, 3)``.
        shifts_angstrom: d̄, ``(F, 2)``.
        shift_log_sd: logarithm of the standard deviation of δ, Å, ``(F, 2)``.
        prior_sd_angstrom: prior standard deviation of shifts about 0.
    """

    rotations: Tensor
    turn_log_sd: Tensor
    shifts_angstrom: Tensor
    shift_log_sd: Tensor
    prior_sd_angstrom: float

    def draw(self, noise: FrameNoise | None) -> tuple[Tensor, Tensor]:
        """Draw rotations ``(F, 3, 3)`` and shifts ``(F, 2)``; without noise take the means."""
        if noise is None:
            return self.rotations, self.shifts_angstrom
        turn, shift = noise.normal(len(self.rotations), 5).split([3, 2], dim=-1)
        turned = rotation_of_vector(self.turn_log_sd.exp() * turn) @ self.rotations
        return turned, self.shifts_angstrom + self.shift_log_sd.exp() * shift

    def kl(self) -> Tensor:
        """Compute the Kullback–Leibler divergence from the prior, nats: ``(F,)``."""
        prior = torch.full_like(self.shift_log_sd, 2 * math.log(self.prior_sd_angstrom))
        zero = torch.zeros_like(self.shifts_angstrom)
        shift = gaussian_kl(self.shifts_angstrom, 2 * self.shift_log_sd, zero, prior)
        return uniform_rotation_kl(self.turn_log_sd) + shift

    def spread(self) -> tuple[Tensor, Tensor]:
        """Give the standard deviations of turns, degrees, and shifts, Å, each ``(F,)``.

        They are root mean squares over the axes.
        """
        turn, shift = (
            (2 * log_sd).exp().mean(-1).sqrt() for log_sd in (self.turn_log_sd, self.shift_log_sd)
        )
        return torch.rad2deg(turn), shift


def uniform_rotation_kl(turn_log_sd: Tensor) -> Tensor:
    """Compute the KL divergence of Gaussian turns from uniform rotations: ``(..., 3)`` → ``(...)``.

    Measured by angles, SO(3) has the volume 8π², and a volume element of turns ω shrinks by
    ``2 (1 − cos |ω|)/|ω|² = 1 − |ω|²/12 + …``. Hence

    ``KL = log 8π² − ½ Σ log 2πe s² + Σ s²/12``

    up to terms in s⁴ and turns by more than 180°.
    """
    entropy = (turn_log_sd + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
    return math.log(8 * math.pi**2) - entropy + (2 * turn_log_sd).exp().sum(-1) / 12


class PoseTable(nn.Module):
    """A free posterior for every frame: mean and standard deviation of five numbers.

    Parameters are scaled so that a step of equal size has about the same effect in all of them: a
    turn and a shift of the same number move the edge of the molecule equally far.

    Args:
        rotations: R̄ to start from, ``(N, 3, 3)``.
        turn_sd_degrees: standard deviation of turns to start from, ``(N,)``.
        shift_sd_angstrom: standard deviation of shifts to start from, ``(N,)``.
        prior_sd_angstrom: prior standard deviation of shifts about the centres of the images.
        lever_angstrom: distance of the molecule's edge from its centre.
    """

    start: Tensor
    start_log_sd: Tensor

    def __init__(
        self,
        rotations: Tensor,
        turn_sd_degrees: Tensor,
        shift_sd_angstrom: Tensor,
        prior_sd_angstrom: float,
        lever_angstrom: float,
    ) -> None:
        super().__init__()
        n = len(rotations)
        log_sd = torch.stack([torch.deg2rad(turn_sd_degrees), shift_sd_angstrom], dim=-1).log()
        self.register_buffer("start", rotations.float())
        self.register_buffer("start_log_sd", log_sd.float())
        self.turns = nn.Parameter(torch.zeros(n, 3))
        self.shifts = nn.Parameter(torch.zeros(n, 2))
        self.spreads = nn.Parameter(torch.zeros(n, 5))
        self.prior_sd_angstrom = prior_sd_angstrom
        self.lever_angstrom = lever_angstrom

    def forward(self, rows: Tensor) -> PosePosterior:
        """Give the posterior of frames, by their rows ``(F,)``."""
        rows = rows.to(self.turns.device, non_blocking=True)
        of_turn, of_shift = self.start_log_sd[rows].split(1, dim=-1)
        start = torch.cat([of_turn.expand(-1, 3), of_shift.expand(-1, 2)], dim=-1)
        turn, shift = (start + _SPREAD_STEP * self.spreads[rows]).split([3, 2], dim=-1)
        return PosePosterior(
            rotations=rotation_of_vector(self.turns[rows]) @ self.start[rows],
            turn_log_sd=turn.clamp(*_LOG_SD_RANGE),
            shifts_angstrom=self.lever_angstrom * self.shifts[rows],
            shift_log_sd=shift,
            prior_sd_angstrom=self.prior_sd_angstrom,
        )
