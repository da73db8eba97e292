"""Amortised poses: a network that reads the pose of a frame off its image (paper Eq. 14)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from temporem.physics.rotations import rotation_of_frame
from temporem.poses.table import PosePosterior
from temporem.volumes.layers import ResidualMLP

_DEPTH = 2
_FIRST_TURN_SD = 0.2  # radians
_FIRST_SHIFT_SD = 0.5  # of the prior's
_LOG_SD_RANGE = (-6.0, 1.0)  # about the first


class PoseHead(nn.Module):
    """From features of single frames to posteriors of their poses.

    Six numbers make the rotation by Gram and Schmidt, which has no seams as angles have; others are
    the deviations of a turn about it, and mean and deviation of the shift.

    Args:
        features: of a frame, W.
        prior_sd_angstrom: of shifts.
    """

    def __init__(self, features: int, prior_sd_angstrom: float) -> None:
        super().__init__()
        self.read_out = ResidualMLP(features, features, _DEPTH, 6 + 3 + 2 + 2)
        self.prior_sd_angstrom = prior_sd_angstrom

    def forward(self, features: Tensor) -> PosePosterior:
        """Of the frames with features ``(F, W)``."""
        six, turn, shift, spread = self.read_out(features).split([6, 3, 2, 2], dim=-1)
        first = math.log(_FIRST_SHIFT_SD * self.prior_sd_angstrom)
        return PosePosterior(
            rotations=rotation_of_frame(six),
            turn_log_sd=math.log(_FIRST_TURN_SD) + turn.clamp(*_LOG_SD_RANGE),
            shifts_angstrom=self.prior_sd_angstrom * shift,
            shift_log_sd=first + spread.clamp(*_LOG_SD_RANGE),
            prior_sd_angstrom=self.prior_sd_angstrom,
        )


def twin_image(evidence: Tensor) -> Tensor:
    """An image, as real and imaginary parts ``(F, 2P)``, turned in its plane by 180°: X(−k)."""
    sign = 1 - 2 * torch.arange(2, dtype=evidence.dtype, device=evidence.device)
    return (evidence.unflatten(-1, (-1, 2)) * sign).flatten(-2)
