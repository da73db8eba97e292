"""A first volume from images alone: expectation–maximisation over all poses at low resolution.

Every frame keeps a posterior over a grid of rotations and shifts, and the volume is what all frames
back-project to, each from all its poses at once:

- E: ``γ_nmt ∝ exp(log p(X_n | R_m, d_t, V)) p(d_t)``
- M: ``V̂ = (Σ γ_nmt P_mᵀ CTF_n S_t* X_n) / (Σ γ_nm P_mᵀ CTF_n² + 1/τ²)``

Both are matrix products (:mod:`temporem.models.pose_search`). The number of frequencies grows, the
grid of rotations becomes finer, and it is turned anew in every iteration so that it leaves no
mark. Where this ends depends on where it starts, so it is done several times and the likeliest
volume is taken. Its hand is a matter of chance: projections do not know it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.models.homogeneous import BackProjection
from temporem.models.padded_grid import grid_below
from temporem.models.pose_search import (
    Slices,
    grid_scores,
    shift_grid,
    shifted_images,
    slice_volume,
)
from temporem.physics.forward import ForwardModel
from temporem.physics.masks import window_ball
from temporem.physics.orientations import even_rotations
from temporem.physics.rotations import random_rotations
from temporem.physics.support import resized

_ENTRIES = 2**22  # of a block of scores; bounds memory
_FAINTEST = -60.0  # below the likeliest pose, nats: nothing, and no denormal number, which is slow


@dataclass(frozen=True)
class Round:
    """One iteration: frequencies below ``radius`` cycles per box, a grid of such a spacing."""

    radius: float
    spacing_degrees: float


@dataclass(frozen=True)
class AbInitio:
    """Expectation–maximisation over poses.

    Args:
        model: image formation.
        images: N frames, ``(N, P)``, the lowest frequencies, noise at 1, about centred.
        contrast: CTF, ``(N, P)``.
        power: prior power τ² of slices at integer radii, ``(R,)``.
        shift_sd_angstrom: of the Gaussian prior of shifts.
        window_radius: radius of the ball that holds the molecule, in half boxes.
    """

    model: ForwardModel
    images: Tensor
    contrast: Tensor
    power: Tensor
    shift_sd_angstrom: float
    window_radius: float

    def first_volume(self, radius: float, seed: int) -> Tensor:
        """Back-projection in random poses: a blob, and chance. ``(D', D', D')``."""
        generator = torch.Generator().manual_seed(seed)
        rotations = random_rotations(len(self.images), generator).float()
        n = self._n_pixels(radius)
        grid = grid_below(self.model.box, radius)
        sums = BackProjection(grid)
        points = self.model.slice_frequencies(rotations, slice(0, n))
        sums.add(self.images[:, :n], self.contrast[:, :n], points)
        return self._solve(sums)

    def iterate(self, volume: Tensor, step: Round, seed: int) -> tuple[Tensor, float]:
        """One round from a volume on any coarse grid.

        Returns:
            The next volume ``(D', D', D')`` on the round's grid, and the mean log-evidence of a
            frame under the one that was given.
        """
        n, grid = self._n_pixels(step.radius), grid_below(self.model.box, step.radius)
        generator = torch.Generator().manual_seed(seed)
        rotations = (even_rotations(step.spacing_degrees) @ random_rotations(1, generator)).float()
        shifts, prior = shift_grid(self.model, self.shift_sd_angstrom, step.radius)
        rows = grid.from_volumes(resized(volume[None], grid.box))
        slices = Slices.of(
            slice_volume(self.model, grid, rows, rotations, n), self.model.support.weights[:n]
        )
        phases = self.model.shift_phase(shifts)[:, :n]
        m = len(rotations)
        image_sums, weight_sums = torch.zeros(m, 2 * n), torch.zeros(m, n)
        evidence = 0.0
        for block in self._blocks(len(shifts) * m):
            images, contrast = self.images[block, :n], self.contrast[block, :n]
            shifted, squares = shifted_images(images, contrast, phases), contrast.square()
            scores = grid_scores(shifted, squares, slices) + prior[:, None]
            flat = scores.flatten(1)
            largest = flat.amax(1, keepdim=True)
            flat.sub_(largest).clamp_(min=_FAINTEST).exp_()
            total = flat.sum(1, keepdim=True)
            evidence += float((largest + total.log() - math.log(m)).sum(dtype=torch.float64))
            posterior = flat.div_(total).view_as(scores)
            image_sums += posterior.flatten(0, 1).T @ shifted.flatten(0, 1)
            weight_sums += posterior.sum(1).T @ squares
        sums = BackProjection(grid)
        values = torch.view_as_complex(image_sums.view(m, n, 2))
        sums.add_sums(values, weight_sums, self.model.slice_frequencies(rotations, slice(0, n)))
        return self._solve(sums), evidence / len(self.images)

    def _n_pixels(self, radius: float) -> int:
        return int((self.model.support.radii < radius).sum())

    def _solve(self, sums: BackProjection) -> Tensor:
        box = sums.grid.box
        return sums.solve_with_power(self.power) * window_ball(box, self.window_radius)

    def _blocks(self, entries_a_frame: int) -> Iterator[slice]:
        step = max(1, _ENTRIES // entries_a_frame)
        return (slice(i, i + step) for i in range(0, len(self.images), step))
