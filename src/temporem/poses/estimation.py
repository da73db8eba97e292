"""Poses of all frames and the volume that they are poses of, in turn.

A frame is never compared with a volume that it is part of: its noise would be there too, and would
hold it where it is. Movies are dealt into folds, and the poses of a fold come from the volume of
all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from temporem.frames.source import FrameSource, Recentred
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import resized
from temporem.physics.masks import window_ball
from temporem.physics.orientations import even_rotations, small_turns
from temporem.physics.padded_grid import grid_below
from temporem.physics.rigid_transform import RigidTransform
from temporem.poses.chain import PoseChain
from temporem.poses.refinement import PoseFit, References, RotationPrior, refine_poses
from temporem.poses.search import (
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
from temporem.volumes.back_projection import BackProjection, HalfSets

SearchScope = Literal["everywhere", "around", "here"]

FOLDS = 4
_FRAMES = 50  # of a block; bounds memory
SEARCH_RADIUS = 8.0
"""Frequencies that searches look at, cycles per box."""

_SEARCH_SPACING = 12.0  # degrees: half of it is about a cycle at the edge of a molecule
_CANDIDATES = 5  # modes of a global search that are refined
_STEPS = 8  # of Gauss–Newton


_Candidates = Callable[[np.ndarray], tuple[Tensor, Tensor, RotationPrior | None]]
"""Of some rows: rotations ``(B, K, 3, 3)``, shifts ``(B, K, 2)``, a prior where K is 1."""

_ForVolumes = Callable[[Tensor], _Candidates]
"""Candidates that are found by μ and U ``(1 + q, D', D', D')``."""


def _silent(n_frames: int) -> None:
    """Progress that nobody is told of."""


@dataclass(frozen=True)
class Poses:
    """Of N frames.

    Attributes:
        rotations: ``(N, 3, 3)`` float64.
        shifts_angstrom: from where the frames are centred, ``(N, 2)`` float64.
        covariance: posterior of rotation vector and shift, radians and Å, ``(N, 5, 5)`` float64.
        score: log-posterior less the log-likelihood of an empty image, ``(N,)`` float64.
    """

    rotations: Tensor
    shifts_angstrom: Tensor
    covariance: Tensor
    score: Tensor

    @classmethod
    def at(cls, rotations: Tensor) -> Poses:
        """Given rotations, frames that are centred, nothing known of the spread."""
        n = len(rotations)
        zero = torch.zeros(n, dtype=torch.float64)
        return cls(rotations.double(), zero.new_zeros(n, 2), zero.new_zeros(n, 5, 5), zero)

    def changed(self, changes: Sequence[RigidTransform], classes: np.ndarray) -> Poses:
        """In another frame for every class, ``(N,)``; spreads, about the camera's axes, stay."""
        rotations, shifts = self.rotations.clone(), self.shifts_angstrom.clone()
        for number, change in enumerate(changes):
            mine = torch.from_numpy(classes == number)
            shifts[mine] = change.shifts(rotations[mine], shifts[mine])
            rotations[mine] = change.rotations(rotations[mine])
        return replace(self, rotations=rotations, shifts_angstrom=shifts)


@dataclass(frozen=True)
class Improved:
    """Poses that were found.

    Attributes:
        poses: of all frames.
        alone: the same as each frame's own image has them, without what its neighbours say.
    """

    poses: Poses
    alone: Poses

    def changed(self, changes: Sequence[RigidTransform], classes: np.ndarray) -> Improved:
        """Both in another frame for every class, ``(N,)``."""
        return Improved(self.poses.changed(changes, classes), self.alone.changed(changes, classes))


@dataclass(frozen=True)
class FoldVolumes:
    """Volumes of all movies but one fold each, and of all.

    Attributes:
        volumes: ``(FOLDS + 1, D', D', D')``, the last of all movies.
        half_fsc: of the even with the odd folds, ``(D'/2,)``. Their poses have had volumes in
            common, so this is no proof of resolution.
    """

    volumes: Tensor
    half_fsc: Tensor


@dataclass(frozen=True)
class PoseProblem:
    """Frames whose poses are sought.

    Args:
        model: image formation.
        source: images and CTF.
        fold: of every frame, ``(N,)``: 0 … FOLDS − 1, or FOLDS for frames that no volume may use.
        shift_sd_angstrom: of the Gaussian prior of shifts.
        window_radius: radius of the ball that holds the molecule, in half boxes.
    """

    model: ForwardModel
    source: FrameSource
    fold: np.ndarray
    shift_sd_angstrom: float
    window_radius: float

    def n_pixels(self, radius: float) -> int:
        return int((self.model.support.radii < radius).sum())

    def centred(self, poses: Poses) -> Recentred:
        """The frames, moved back by the shifts of these poses."""
        return Recentred(self.source, self.model, poses.shifts_angstrom)

    def back_project(self, poses: Poses, radius: float) -> FoldVolumes:
        """Volumes from the frames in their poses, Wiener-filtered by the FSC of half the folds."""
        grid = grid_below(self.model.box, radius)
        sums = self._sums(poses, [self.fold == fold for fold in range(FOLDS)], radius)
        ball = window_ball(grid.box, self.window_radius)
        halves = HalfSets.of(_total(sums[0::2]), _total(sums[1::2]), ball)
        without = [_total(sums[:f] + sums[f + 1 :]) for f in range(FOLDS)]
        solved = [part.solve(halves.signal_to_noise) for part in (*without, _total(sums))]
        return FoldVolumes(torch.stack(solved) * ball, halves.fsc)

    def _sums(
        self, poses: Poses, chosen: Sequence[np.ndarray], radius: float
    ) -> list[BackProjection]:
        """Of several choices of frames, bool ``(N,)`` each."""
        grid, n = grid_below(self.model.box, radius), self.n_pixels(radius)
        centred = self.centred(poses)
        sums = [BackProjection(grid) for _ in chosen]
        for part, these in zip(sums, chosen, strict=True):
            for rows in self._blocks(np.flatnonzero(these)):
                images, ctf = centred.take(rows, n)
                points = self.model.slice_frequencies(poses.rotations[rows].float(), slice(0, n))
                part.add(images, ctf, points)
        return sums

    def class_volumes(
        self, poses: Poses, classes: np.ndarray, power: Tensor, radius: float
    ) -> Tensor:
        """A volume of every class, of frames that volumes may use: posterior means.

        Args:
            poses: of all frames.
            classes: 0 … K − 1 of every frame, ``(N,)``.
            power: prior power τ² of slices at integer radii, ``(R,)``.
            radius: cycles per box.

        Returns:
            ``(K, D', D', D')``.
        """
        usable = self.fold < FOLDS
        chosen = [usable & (classes == number) for number in range(int(classes.max()) + 1)]
        sums = self._sums(poses, chosen, radius)
        ball = window_ball(sums[0].grid.box, self.window_radius)
        return torch.stack([part.solve_with_power(power) * ball for part in sums])

    def improve(
        self,
        volumes: Tensor,
        poses: Poses,
        radius: float,
        *,
        scope: SearchScope,
        around_degrees: float = 0.0,
        components: Tensor | None = None,
        chain: PoseChain | None = None,
        progress: Callable[[int], None] = _silent,
    ) -> Improved:
        """Poses of all frames, each against the volume of the other folds.

        Candidates are the pose that a frame has, and the best few of a grid: over all of SO(3), or
        of a lattice around that pose. They are refined at low resolution, the best two of them at
        all frequencies below the radius, and the better one is kept. Along a chain, poses of the
        frames before and after are candidates too, all are judged by the best path of the movie
        through them, and the one that is kept is refined with what its neighbours say of it.

        Args:
            volumes: of the folds, or one for all frames, ``(FOLDS + 1 or 1, D', D', D')``.
            poses: to start from.
            radius: cycles per box.
            look: for candidates.
            around_degrees: half the width of the lattice.
            components: U of ``V = μ + Σ_j z_j U_j``, ``(q, D', D', D')``, the greatest first, where
            volumes change: z is found with the pose. A search over all of SO(3) integrates over
            the first coordinate; one around a pose takes the mean.
            chain: how frames follow one another; every frame is by itself when None.
            progress: told how many frames were done.
        """
        near = torch.arange(len(poses.rotations))[:, None]
        if chain is not None:
            near = torch.cat([near, chain.neighbours().T], dim=1)
        n_candidates = near.shape[1] + (scope != "here") * _CANDIDATES

        def searched(parts: Tensor) -> _Candidates:
            search = self._search(parts, scope, around_degrees)

            def of(rows: np.ndarray) -> tuple[Tensor, Tensor, None]:
                rotations = poses.rotations[near[rows]]
                shifts = poses.shifts_angstrom[rows, None].expand(-1, near.shape[1], -1)
                if search is not None:
                    more = search.candidates(rows, rotations[:, 0], shifts[:, 0])
                    rotations = torch.cat([rotations, more[0]], dim=1)
                    shifts = torch.cat([shifts, more[1]], dim=1)
                return rotations, shifts, None

            return of

        def given(fit: PoseFit, prior: RotationPrior | None = None) -> _ForVolumes:
            def of(rows: np.ndarray) -> tuple[Tensor, Tensor, RotationPrior | None]:
                mine = prior and RotationPrior(prior.mean[rows], prior.precision[rows])
                return fit.rotations[rows], fit.shifts_angstrom[rows], mine

            return lambda parts: of

        def refined(
            candidates: _ForVolumes, radius: float, keep: int, told: Callable[[int], None] = _silent
        ) -> PoseFit:
            return self._refined(volumes, components, candidates, radius, keep, told)

        if n_candidates > 1:
            kept = 2 if chain is None else n_candidates
            fit = refined(searched, min(radius, SEARCH_RADIUS), kept, progress)
            fit = refined(given(_likeliest(fit, 2, chain)), radius, 1 if chain is None else 2)
        else:
            fit = refined(searched, radius, 1, progress)
        fit = own = _likeliest(fit, 1, chain)
        if chain is not None:
            prior = chain.from_neighbours(own.rotations[:, 0], own.covariance[:, 0, :3, :3])
            fit = refined(given(own, prior), radius, 1)
            fit = replace(fit, covariance=chain.inflation * fit.covariance)
        return Improved(_poses_of(fit), _poses_of(own))

    def _refined(
        self,
        volumes: Tensor,
        components: Tensor | None,
        candidates: _ForVolumes,
        radius: float,
        keep: int,
        progress: Callable[[int], None],
    ) -> PoseFit:
        """The best of every frame's candidates, by its own score, ``(N, keep, …)``."""
        found: list[tuple[np.ndarray, PoseFit]] = []
        for fold in range(FOLDS + 1):
            mine = np.flatnonzero(self.fold == fold)
            if len(mine) == 0:
                continue
            volume = volumes[min(fold, len(volumes) - 1)]
            parts = volume[None]
            if components is not None:
                parts = torch.cat([parts, resized(components, len(volume))])
            fit, of = _Fit(self, parts, radius), candidates(parts)
            for rows in self._blocks(mine):
                found.append((rows, fit.best(rows, *of(rows), keep=keep)))
                progress(len(rows))
        order = torch.from_numpy(np.concatenate([rows for rows, _ in found]).argsort())
        return _each(lambda *parts: torch.cat(parts)[order], *(fit for _, fit in found))

    def _search(self, volumes: Tensor, scope: SearchScope, around_degrees: float) -> _Search | None:
        if scope == "here":
            return None
        if scope == "everywhere":
            return _Search(self, volumes, even_rotations(_SEARCH_SPACING), everywhere=True)
        return _Search(self, volumes[:1], small_turns(around_degrees, 1), everywhere=False)

    def _blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        return (rows[i : i + _FRAMES] for i in range(0, len(rows), _FRAMES))


class _Search:
    """Candidates of a grid, for frames of one fold."""

    def __init__(
        self, problem: PoseProblem, volumes: Tensor, turns: Tensor, *, everywhere: bool
    ) -> None:
        self.problem, self.turns, self.everywhere = problem, turns, everywhere
        self.n = problem.n_pixels(SEARCH_RADIUS)
        self.grid = grid_below(problem.model.box, SEARCH_RADIUS)
        volumes = resized(volumes[:2], self.grid.box)
        self.rows = self.grid.from_volumes(volumes[:1])
        self.shifts, self.prior = shift_grid(
            problem.model, problem.shift_sd_angstrom, SEARCH_RADIUS
        )
        self.phases = problem.model.shift_phase(self.shifts)[:, : self.n]
        if everywhere:
            weights = problem.model.support.weights[: self.n]
            slices = [
                slice_volume(
                    problem.model, self.grid, self.grid.from_volumes(v[None]), turns, self.n
                )
                for v in volumes
            ]
            self.slices = (
                Slices.of(slices[0], weights)
                if len(slices) == 1
                else MovingSlices.of(slices[0], slices[1], weights)
            )

    def candidates(
        self, rows: np.ndarray, rotations: Tensor, shifts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rotations ``(B, K, 3, 3)`` and shifts ``(B, K, 2)``."""
        images, ctf = self.problem.source.take(rows, self.n)
        squares = ctf.square()
        if self.everywhere:
            shifted = shifted_images(images, ctf, self.phases)
            if isinstance(self.slices, MovingSlices):
                scores = moving_scores(shifted, squares, self.slices)
            else:
                scores = grid_scores(shifted, squares, self.slices)
            best = best_poses(scores + self.prior[:, None], _CANDIDATES)
            return self.turns[best.rotation], self.shifts[best.shift]
        near = self.turns @ rotations[:, None]
        phase = self.problem.model.shift_phase(shifts)[:, : self.n]
        shifted = shifted_images(images * phase.conj(), ctf, self.phases)
        scores = local_scores(
            self.problem.model, self.grid, self.rows, shifted, squares, near.float()
        )
        best = best_poses(scores, _CANDIDATES)
        index = torch.arange(len(rows))[:, None]
        return near[index, best.rotation], shifts[:, None] + self.shifts[best.shift]


class _Fit:
    """Gauss–Newton at the frequencies below a radius, for frames of one fold."""

    def __init__(self, problem: PoseProblem, volumes: Tensor, radius: float) -> None:
        grid = grid_below(problem.model.box, radius)
        self.problem, self.n = problem, problem.n_pixels(radius)
        self.references = References.of_volumes(resized(volumes, grid.box), grid)

    def best(
        self,
        rows: np.ndarray,
        rotations: Tensor,
        shifts: Tensor,
        prior: RotationPrior | None,
        *,
        keep: int,
    ) -> PoseFit:
        """The ``keep`` best of K candidates ``(B, K, 3, 3)``, ``(B, K, 2)``, refined."""
        b, k = shifts.shape[:2]
        images, ctf = self.problem.source.take(rows, self.n)
        fit = refine_poses(
            self.problem.model,
            self.references,
            images.repeat_interleave(k, 0),
            ctf.repeat_interleave(k, 0),
            rotations.flatten(0, 1),
            shifts.flatten(0, 1),
            shift_sd_angstrom=self.problem.shift_sd_angstrom,
            iterations=_STEPS,
            prior=prior,
        )
        fit = _each(lambda values: values.view(b, k, *values.shape[1:]), fit)
        return _kept(fit, fit.score, keep)


def _each(function: Callable[..., Tensor], *fits: PoseFit) -> PoseFit:
    """A function of every tensor of some fits."""
    names = [field.name for field in fields(PoseFit)]
    return PoseFit(*(function(*(getattr(fit, name) for fit in fits)) for name in names))


def _kept(fit: PoseFit, value: Tensor, keep: int) -> PoseFit:
    """Of ``(B, K, …)`` the ``keep`` with the greatest values ``(B, K)``, best first."""
    best = value.topk(keep, dim=1).indices
    index = torch.arange(len(best))[:, None]
    return _each(lambda values: values[index, best], fit)


def _likeliest(fit: PoseFit, keep: int, chain: PoseChain | None) -> PoseFit:
    """By their own scores, or by the best path through each, evidences by Laplace's integral."""
    if chain is None:
        return _kept(fit, fit.score, keep)
    variance = fit.covariance.diagonal(dim1=-2, dim2=-1)[..., :3].mean(-1)
    return _kept(fit, chain.best_paths(fit.rotations, variance, fit.evidence), keep)


def _poses_of(fit: PoseFit) -> Poses:
    """Of a fit with one candidate a frame."""
    return Poses(
        fit.rotations[:, 0], fit.shifts_angstrom[:, 0], fit.covariance[:, 0], fit.score[:, 0]
    )


def _total(parts: list[BackProjection]) -> BackProjection:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
