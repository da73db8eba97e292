"""A network that infers the pose of a frame from its image (TEMPOR Eq. 14)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from temporem.physics.rotations import rotation_of_frame
from temporem.poses.table import PosePosterior
from temporem.volumes.layers import ResidualMLP

_DEPTH = 2
_FIRST_TURN_SD = 0.2  # radians
_FIRST_SHIFT_SD = 0.5  # in standard deviations of the prior
_LOG_SD_RANGE = (-6.0, 1.0)  # relative to the first


class PoseHead(nn.Module):
    """Network from features of single frames to posteriors of their poses.

    Six of its outputs make the rotation by Gram–Schmidt orthogonalisation, which is continuous
    where angles are not (Zhou et al. 2019). The others are the standard deviations of turns about
    it, and means and standard deviations of the shift.

    Args:
        features: number of features W of a frame.
        prior_sd_angstrom: prior standard deviation of shifts.
    """

    def __init__(self, features: int, prior_sd_angstrom: float) -> None:
        super().__init__()
        self.read_out = ResidualMLP(features, features, _DEPTH, 6 + 3 + 2 + 2)
        self.prior_sd_angstrom = prior_sd_angstrom

    def forward(self, features: Tensor) -> PosePosterior:
        """Infer poses from features ``(F, W)``."""
        six, turn, shift, spread = self.read_out(features).split([6, 3, 2, 2], dim=-1)
        first = math.log(_FIRST_SHIFT_SD * self.prior_sd_angstrom)
        return PosePosterior(
            rotations=rotation_of_frame(six),
            turn_log_sd=math.log(_FIRST_TURN_SD) + turn.clamp(*_LOG_SD_RANGE),
            shifts_angstrom=self.prior_sd_angstrom * shift,
            shift_log_sd=first + spread.clamp(*_LOG_SD_RANGE),
            prior_sd_angstrom=self.prior_sd_angstrom,
        )


def twin_image(encoder_input: Tensor) -> Tensor:
    """Turn images, given as real and imaginary parts ``(F, 2P)``, in their plane by 180°: X(−k)."""
    sign = 1 - 2 * torch.arange(2, dtype=encoder_input.dtype, device=encoder_input.device)
    return (encoder_input.unflatten(-1, (-1, 2)) * sign).flatten(-2)
