"""A cloud of points with a part that turns by a known angle about a known axis."""

from __future__ import annotations

import torch
from torch import Tensor

from temporem.physics.rotations import rotation_about_axis

AXIS = torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)
POINT = torch.tensor([6.0, 0.0, 1.0], dtype=torch.float64)  # voxels
DEGREES = 30.0  # of a latent of 1
PIXEL = 2.0


class TurningCloud:
    """A ball of points, and a smaller one beside it that turns about an axis between them.

    Args:
        degrees: turn of the small ball for a latent of 1.
        whole_degrees: turn of everything for a latent of 1, about an axis of its own.
        noise: standard deviation of a displacement of each point for a latent of 1, voxels.
    """

    def __init__(
        self, degrees: float = DEGREES, whole_degrees: float = 0.0, noise: float = 0.0
    ) -> None:
        random = torch.Generator().manual_seed(0)
        draw = torch.randn(600, 3, generator=random, dtype=torch.float64)
        ball = draw / draw.norm(dim=1, keepdim=True)
        ball = ball * torch.rand(600, 1, generator=random, dtype=torch.float64) ** (1 / 3)
        centre = torch.tensor([12.0, 0.0, 2.0], dtype=torch.float64)
        self.rest = torch.cat([6 * ball[:450], 4 * ball[450:] + centre])
        self.turning = torch.arange(600) >= 450
        self.weights = 0.5 + torch.rand(600, generator=random, dtype=torch.float64)
        self.degrees, self.whole_degrees = degrees, whole_degrees
        self.wobble = noise * torch.randn(600, 3, generator=random, dtype=torch.float64)

    def positions(self, z: Tensor) -> Tensor:
        """See :class:`temporem.volumes.cloud_motion.Moving`."""
        angle = z[:, 0].double().deg2rad()
        turn = rotation_about_axis(AXIS.expand(len(z), 3), self.degrees * angle)
        moved = (self.rest - POINT) @ turn.mT + POINT
        positions = torch.where(self.turning[:, None], moved, self.rest.expand_as(moved))
        positions = positions + z[:, :1, None].double() * self.wobble
        other = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).expand(len(z), 3)
        return positions @ rotation_about_axis(other, self.whole_degrees * angle).mT
