"""Candidate poses from a grid: the few likeliest of every frame, for refinement to choose from."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from temporem.physics.fourier import resized
from temporem.physics.orientations import even_rotations, small_turns
from temporem.physics.padded_grid import grid_below
from temporem.poses.folds import FoldedFrames
from temporem.poses.scores import (
    MovingSlices,
    Slices,
    best_poses,
    grid_scores,
    local_scores,
    moving_scores,
    shift_grid,
    shifted_images,
    slice_volume,
)

SearchScope = Literal["everywhere", "around", "here"]
"""Range of a search: all of SO(3), around the present pose, or only that pose."""

SEARCH_RADIUS = 8.0
"""Frequencies that searches use, cycles per box."""

N_CANDIDATES = 5
"""Candidates that a search gives a frame."""

_SPACING = 12.0  # degrees: half of it is about a cycle at the edge of a molecule


class CandidateSearch:
    """A search of a grid of poses, for frames of one fold.

    Args:
        frames: the frames.
        volumes: μ, and the components of what changes, the greatest first, ``(1 + q, D', D', D')``.
            A search everywhere integrates over the latent of the first component; one around a
            pose takes μ alone.
        scope: range of the search.
        around_degrees: distance of the lattice's rotations from the present one, about each axis.
    """

    def __init__(
        self, frames: FoldedFrames, volumes: Tensor, scope: SearchScope, around_degrees: float
    ) -> None:
        model = frames.model
        self.frames = frames
        self.n = frames.n_pixels(SEARCH_RADIUS)
        self.grid = grid_below(model.box, SEARCH_RADIUS)
        self.shifts, self.prior = shift_grid(model, frames.shift_sd_angstrom, SEARCH_RADIUS)
        self.phases = model.shift_phase(self.shifts)[:, : self.n]
        self.slices: Slices | MovingSlices | None = None
        if scope == "everywhere":
            self.turns = even_rotations(_SPACING)
            self.slices = self._slices(resized(volumes[:2], self.grid.box))
        else:
            self.turns = small_turns(around_degrees, 1)
            self.rows = self.grid.from_volumes(resized(volumes[:1], self.grid.box))

    def _slices(self, volumes: Tensor) -> Slices | MovingSlices:
        model = self.frames.model
        weights = model.support.weights[: self.n]
        parts = [
            slice_volume(model, self.grid, self.grid.from_volumes(v[None]), self.turns, self.n)
            for v in volumes
        ]
        if len(parts) == 1:
            return Slices.of(parts[0], weights)
        return MovingSlices.of(parts[0], parts[1], weights)

    def candidates(
        self, rows: np.ndarray, rotations: Tensor, shifts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The likeliest poses of B frames: rotations ``(B, K, 3, 3)`` and shifts ``(B, K, 2)``.

        Args:
            rows: the frames, ``(B,)``.
            rotations: of their present poses, ``(B, 3, 3)``; not used by a search everywhere.
            shifts: of their present poses, ``(B, 2)``, likewise.
        """
        model = self.frames.model
        images, ctf = self.frames.source.take(rows, self.n)
        squares = ctf.square()
        if self.slices is not None:
            shifted = shifted_images(images, ctf, self.phases)
            if isinstance(self.slices, MovingSlices):
                scores = moving_scores(shifted, squares, self.slices)
            else:
                scores = grid_scores(shifted, squares, self.slices)
            best = best_poses(scores + self.prior[:, None], N_CANDIDATES)
            return self.turns[best.rotation], self.shifts[best.shift]
        near = self.turns @ rotations[:, None]
        phase = model.shift_phase(shifts)[:, : self.n]
        shifted = shifted_images(images * phase.conj(), ctf, self.phases)
        scores = local_scores(model, self.grid, self.rows, shifted, squares, near.float())
        best = best_poses(scores, N_CANDIDATES)
        index = torch.arange(len(rows))[:, None]
        return near[index, best.rotation], shifts[:, None] + self.shifts[best.shift]
