"""Folds of movies, so that no frame is compared with a volume that contains it.

The noise of a frame is also in every volume made from it, and would fix its pose. So the poses of a
fold come from the volume of all other folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.frames.source import FrameSource, Recentred
from temporem.physics.forward import ForwardModel
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import grid_below
from temporem.poses.estimates import PoseEstimates
from temporem.volumes.back_projection import BackProjection, HalfSets

FOLDS = 4
"""Number of folds; frames of fold ``FOLDS`` are held out of all volumes."""

_AGREEMENT = 0.3  # of half sets, up to which frequencies are used, and a few more
_FURTHER = 2.0  # cycles per box
_FRAMES = 50  # in a block; bounds memory


@dataclass(frozen=True)
class FoldVolumes:
    """Volumes of all movies but one fold each, and of all.

    Attributes:
        volumes: ``(FOLDS + 1, D', D', D')``, the last of all movies.
        half_fsc: FSC of the even with the odd folds, ``(D'/2,)``. Their poses come from common
            volumes, so it does not prove resolution.
    """

    volumes: Tensor
    half_fsc: Tensor

    @property
    def radius(self) -> float:
        """Highest frequency to go on with, cycles per box; the box may have fewer."""
        below = (self.half_fsc < _AGREEMENT).nonzero()
        return (int(below[0]) if len(below) else len(self.half_fsc)) + _FURTHER


@dataclass(frozen=True)
class FoldedFrames:
    """N frames of a search for poses.

    Attributes:
        model: image formation.
        source: images and CTF, on the CPU.
        fold: fold of every frame, ``(N,)``: 0 … FOLDS − 1, or FOLDS for held-out frames.
        shift_sd_angstrom: standard deviation of the Gaussian prior of shifts.
        window_radius: radius of the ball that holds the molecule, in half boxes.
    """

    model: ForwardModel
    source: FrameSource
    fold: np.ndarray
    shift_sd_angstrom: float
    window_radius: float

    @classmethod
    def deal(
        cls, frames: Frames, *, shift_sd_angstrom: float, window_radius: float
    ) -> FoldedFrames:
        """Deal the training movies into folds, one after the other."""
        fold = np.full(len(frames), FOLDS)
        for i, movie in enumerate(frames.training):
            fold[movie] = i % FOLDS
        return cls(frames.forward_model, frames.source, fold, shift_sd_angstrom, window_radius)

    def __len__(self) -> int:
        return len(self.fold)

    def n_pixels(self, radius: float) -> int:
        """Number of image frequencies below a radius, cycles per box."""
        return int((self.model.support.radii < radius).sum())

    def centred(self, estimates: PoseEstimates) -> Recentred:
        """The frames, moved back by estimated shifts."""
        return Recentred(self.source, self.model, estimates.shifts_angstrom)

    def blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Rows in blocks of bounded size."""
        return (rows[i : i + _FRAMES] for i in range(0, len(rows), _FRAMES))

    def back_project(self, estimates: PoseEstimates, radius: float) -> FoldVolumes:
        """Volumes of the frames in their poses, Wiener-filtered by the FSC of half the folds."""
        grid = grid_below(self.model.box, radius)
        sums = self._sums(estimates, [self.fold == fold for fold in range(FOLDS)], radius)
        ball = window_ball(grid.box, self.window_radius)
        halves = HalfSets.of(_total(sums[0::2]), _total(sums[1::2]), ball)
        without = [_total(sums[:f] + sums[f + 1 :]) for f in range(FOLDS)]
        solved = [part.solve(halves.signal_to_noise) for part in (*without, _total(sums))]
        return FoldVolumes(torch.stack(solved) * ball, halves.fsc)

    def class_volumes(
        self, estimates: PoseEstimates, classes: np.ndarray, power: Tensor, radius: float
    ) -> Tensor:
        """A volume of every class, of frames that are not held out: posterior means.

        Args:
            estimates: poses of all frames.
            classes: 0 … K − 1 for every frame, ``(N,)``.
            power: prior power τ² of slices at integer radii, ``(R,)``.
            radius: cycles per box.

        Returns:
            ``(K, D', D', D')``.
        """
        usable = self.fold < FOLDS
        chosen = [usable & (classes == number) for number in range(int(classes.max()) + 1)]
        sums = self._sums(estimates, chosen, radius)
        ball = window_ball(sums[0].grid.box, self.window_radius)
        return torch.stack([part.solve_with_power(power) * ball for part in sums])

    def _sums(
        self, estimates: PoseEstimates, chosen: Sequence[np.ndarray], radius: float
    ) -> list[BackProjection]:
        """Sums over several choices of frames, bool ``(N,)`` each."""
        grid, n = grid_below(self.model.box, radius), self.n_pixels(radius)
        centred = self.centred(estimates)
        sums = [BackProjection(grid) for _ in chosen]
        for part, these in zip(sums, chosen, strict=True):
            for rows in self.blocks(np.flatnonzero(these)):
                images, ctf = centred.take(rows, n)
                turns = estimates.rotations[rows].float()
                part.add(images, ctf, self.model.slice_frequencies(turns, slice(0, n)))
        return sums


def _total(parts: list[BackProjection]) -> BackProjection:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
