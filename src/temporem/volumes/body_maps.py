"""Maps of what the Gaussians of a cloud miss: one for each rigid body, with which it moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from temporem.physics.padded_grid import PaddedGrid, full_grid

if TYPE_CHECKING:  # they take long to import, and settings import this module for a name
    from temporem.physics.screw_axis import RigidMotions
    from temporem.volumes.rigid_bodies import RigidBodies


class BodyMaps(nn.Module):
    """K volumes that follow K rigid bodies: ``V(x) = Σ_b U_b(R_bᵀ (x − t_b))``.

    Where a body is, the points of a cloud tell: the rigid motion that takes them from a reference
    state to where they are. There are no maps until :meth:`set_maps`.

    Args:
        box: edge length D, voxels.
        points: number N of points of the cloud.

    Attributes:
        maps: the volumes U_b, ``(K, D, D, D)``, slices of them in the units of images.
        reference: points in the reference state, ``(N, 3)``, voxels.
        labels: body of every point, ``(N,)``.
        core: weight of every point in the motion of its body, ``(N,)``.
    """

    maps: Tensor
    reference: Tensor
    labels: Tensor
    core: Tensor
    rows: Tensor

    def __init__(self, box: int, points: int) -> None:
        super().__init__()
        self.box = box
        self.register_buffer("maps", torch.zeros(0, box, box, box))
        self.register_buffer("reference", torch.zeros(points, 3))
        self.register_buffer("labels", torch.zeros(points, dtype=torch.long))
        self.register_buffer("core", torch.zeros(points))
        self.register_buffer("rows", torch.zeros(0, 0, dtype=torch.complex64), persistent=False)
        self.register_load_state_dict_post_hook(lambda module, _: module._refresh())

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def grid(self) -> PaddedGrid:
        """The grid on which the maps are sampled."""
        return full_grid(self.box, self.maps.device)

    def set_bodies(self, bodies: RigidBodies, reference: Tensor) -> None:
        """Take the bodies of a cloud, with points ``(N, 3)`` in the reference state."""
        self.reference.copy_(reference)
        self.labels.copy_(bodies.labels)
        self.core.copy_(bodies.core)

    def set_maps(self, maps: Tensor) -> None:
        """Take the maps ``(K, D, D, D)``; none, where K is 0."""
        self.maps = maps.to(self.maps)
        self._refresh()

    def motions(self, positions: Tensor) -> RigidMotions:
        """Find where the bodies are: positions of the points ``(B, N, 3)`` → ``(B, K, …)``."""
        from temporem.volumes.rigid_bodies import motions_of_bodies

        return motions_of_bodies(
            self.reference.double(),
            positions.double(),
            self.labels,
            self.core.double(),
            int(self.labels.max()) + 1,
        )

    def sample(self, frequencies: Tensor, positions: Tensor) -> Tensor:
        """Compute Fourier coefficients of the sum of all maps where their bodies are.

        Args:
            frequencies: cycles per box, ``(B, P, 3)`` or ``(P, 3)``, ordered (x, y, z).
            positions: of the points of the cloud, ``(B, N, 3)``.

        Returns:
            Complex64 ``(B, P)`` in units of a slice.
        """
        motions, total = self.motions(positions), frequencies.new_zeros(())
        for body in range(len(self)):
            phase, turned = in_body(self.box, frequencies, motions[:, body])
            seen = self.grid.extract(self.rows[:, body : body + 1], self.grid.corners(turned))
            total = total + seen.view(turned.shape[:-1]) * phase.conj()
        return total

    def _refresh(self) -> None:
        grid = self.grid
        self.rows = grid.from_volumes(self.maps) if len(self) else self.rows.new_zeros(0, 0)

    def make_room(self, stored: Mapping[str, Tensor]) -> None:
        """Have as many maps as there are among stored tensors, which are then loaded."""
        from temporem.volumes.rigid_bodies import MOST_BODIES

        maps = stored.get("maps")
        if maps is not None and maps.ndim == 4 and len(maps) <= MOST_BODIES:
            self.maps = self.maps.new_zeros(len(maps), *self.maps.shape[1:])


def in_body(box: int, frequencies: Tensor, motions: RigidMotions) -> tuple[Tensor, Tensor]:
    """Take frequencies to where a body is at rest.

    A body that moved by ``x ↦ R x + t`` has the coefficients ``Û(Rᵀ k) exp(−2πi k·t)``.

    Args:
        box: edge length D, voxels.
        frequencies: k, cycles per box, ``(B, P, 3)`` or ``(P, 3)``.
        motions: B of them, shifts in voxels.

    Returns:
        The factor ``exp(2πi k·t)`` that brings coefficients back, complex64 ``(B, P)``, and the
        frequencies ``Rᵀ k``, ``(B, P, 3)``.
    """
    shifts, rotations = motions.shifts.float(), motions.rotations.float()
    frequencies = frequencies.to(shifts)
    angle = (2 * math.pi / box) * (frequencies @ shifts[..., None])[..., 0]
    return torch.polar(torch.ones_like(angle), angle), frequencies @ rotations
