"""Gaussians on a skeleton that bends with latents."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from temporem.physics.fourier import FourierSupport
from temporem.physics.gaussian_sums import gaussian_sums
from temporem.volumes.skeleton import Skeleton

_NODES = 150
_HIDDEN = (64, 128)  # widths of the network that moves the nodes
_SHIFT = 6.0  # voxels of one unit of the network's output

POSITION_UNIT = WEIGHT_UNIT = 20.0
SD_UNIT = 5.0
"""Parameters are learned in these units, so that one step size of Adam suits all of them: voxels,
and logarithms of weight and width."""


class MovingCloud(nn.Module):
    """N Gaussians of one width that move with the latents.

    ``V(x; z) = Σ_j w_j N(x | T_z(x_j), σ²)``. T_z moves them as :class:`Skeleton` does, with turns
    and shifts of its nodes that a small network computes from z.

    Args:
        z_dim: latent dimension q.
        gaussians: N, until other Gaussians are placed. The number of nodes does not follow.
    """

    gate: Tensor

    def __init__(self, z_dim: int, gaussians: int) -> None:
        super().__init__()
        nodes = min(_NODES, gaussians // 4)
        self.skeleton = Skeleton(gaussians, nodes)
        first, second = _HIDDEN
        self.last = nn.Linear(second, 6 * nodes)
        self.motion = nn.Sequential(
            nn.Linear(z_dim, first), nn.SiLU(), nn.Linear(first, second), nn.SiLU(), self.last
        )
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("gate", torch.ones(nodes))
        self.rest = nn.Parameter(torch.zeros(gaussians, 3))
        self.log_weight = nn.Parameter(torch.zeros(gaussians))
        self.log_sd = nn.Parameter(torch.zeros(()))

    def __len__(self) -> int:
        return len(self.rest)

    @property
    def weights(self) -> Tensor:
        """Integral of each Gaussian, ``(N,)``."""
        return (WEIGHT_UNIT * self.log_weight).exp()

    @property
    def sd(self) -> Tensor:
        """Standard deviation σ of the Gaussians, voxels."""
        return (SD_UNIT * self.log_sd).exp()

    def resize(self, gaussians: int) -> None:
        """Have another number of Gaussians, which are still to be placed."""
        self.rest = nn.Parameter(self.rest.new_zeros(gaussians, 3))
        self.log_weight = nn.Parameter(self.log_weight.new_zeros(gaussians))
        self.skeleton.resize(gaussians)

    @torch.no_grad()
    def place(self, points: Tensor, weights: Tensor, sd: float) -> None:
        """Place Gaussians at points ``(N, 3)`` in voxels from the centre, weights ``(N,)``."""
        self.resize(len(points))
        self.rest.copy_(points / POSITION_UNIT)
        self.skeleton.set_points(points.numpy())
        self.log_weight.copy_(weights.log() / WEIGHT_UNIT)
        self.log_sd.fill_(math.log(sd) / SD_UNIT)

    def positions(self, z: Tensor) -> Tensor:
        """Centres of the Gaussians (x, y, z), in voxels from the centre of the box.

        ``(B, q)`` → ``(B, N, 3)``.
        """
        return self.skeleton.moved(POSITION_UNIT * self.rest, *self._bend(z))

    def strain(self, z: Tensor) -> Tensor:
        """Mean square strain of the skeleton: ``(B, q)`` → ``(B,)``."""
        return self.skeleton.strain(*self._bend(z))

    def coefficients(self, support: FourierSupport, z: Tensor) -> Tensor:
        """Orthonormal coefficients of volumes, with gradients: ``(B, q)`` → ``(B, P)``."""
        return gaussian_sums(self.positions(z), self.weights, self.sd, support)

    def _bend(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Turns and shifts of the nodes, ``(B, M, 3)`` each."""
        bend = self.motion(z).unflatten(-1, (-1, 6)) * self.gate[:, None]
        return bend[..., :3], _SHIFT * bend[..., 3:]
