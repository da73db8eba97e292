"""One step of a search: new poses of all frames, each against the volume of the other folds.

A coarse grid is searched at low resolution, and only the likeliest poses are refined, as in the
adaptive oversampling of RELION (Scheres 2012). Refinement is by Levenberg and Marquardt
(:mod:`temporem.poses.refinement`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from temporem.physics.fourier import resized
from temporem.physics.padded_grid import grid_below
from temporem.poses.candidates import N_CANDIDATES, SEARCH_RADIUS, CandidateSearch, SearchScope
from temporem.poses.chain import PoseChain
from temporem.poses.estimates import ImprovedPoses, PoseEstimates
from temporem.poses.folds import FOLDS, FoldedFrames
from temporem.poses.refinement import PoseFit, References, RotationPrior, refine_poses

_STEPS = 8  # of Levenberg and Marquardt

_Candidates = Callable[[np.ndarray], tuple[Tensor, Tensor, RotationPrior | None]]
"""Gives B rows their rotations ``(B, K, 3, 3)``, shifts ``(B, K, 2)``, and a prior where K is 1."""

_ForVolumes = Callable[[Tensor], _Candidates]
"""Gives the candidates that μ and U ``(1 + q, D', D', D')`` lead to."""


def _uncounted(n_frames: int) -> None:
    """Count nothing."""


def improve_poses(
    frames: FoldedFrames,
    volumes: Tensor,
    start: PoseEstimates,
    radius: float,
    *,
    scope: SearchScope,
    around_degrees: float = 0.0,
    components: Tensor | None = None,
    chain: PoseChain | None = None,
    prior: RotationPrior | None = None,
    on_frames: Callable[[int], None] = _uncounted,
) -> ImprovedPoses:
    """Find poses of all frames, each against the volume of the other folds.

    Candidates are the pose that a frame has, and the best few of a grid: over all of SO(3), or of a
    lattice around that pose. They are refined at low resolution, the best two of them at all
    frequencies below the radius, and the better one is kept. Along a chain, poses of the frames
    before and after are candidates too. The best path of the movie through each candidate decides,
    and the chosen one is refined with a prior from its neighbours.

    Args:
        frames: the frames.
        volumes: of the folds, or one for all frames, ``(FOLDS + 1 or 1, D', D', D')``.
        start: poses to start from.
        radius: highest frequency, cycles per box.
        scope: range of the search for candidates.
        around_degrees: half the width of the lattice.
        components: U of ``V = μ + Σ_j z_j U_j``, ``(q, D', D', D')``, the greatest first, where
            volumes change: z is found with the pose.
        chain: how frames follow one another; every frame is by itself when None.
        prior: prior of rotations, without a search and a chain; uniform when None.
        on_frames: called with the number of frames that were done.
    """
    near = torch.arange(len(start))[:, None]
    if chain is not None:
        near = torch.cat([near, chain.neighbours().T], dim=1)
    n_candidates = near.shape[1] + (scope != "here") * N_CANDIDATES

    def searched(parts: Tensor) -> _Candidates:
        search = None
        if scope != "here":
            search = CandidateSearch(frames, parts, scope, around_degrees)

        def of(rows: np.ndarray) -> tuple[Tensor, Tensor, RotationPrior | None]:
            rotations = start.rotations[near[rows]]
            shifts = start.shifts_angstrom[rows, None].expand(-1, near.shape[1], -1)
            if search is not None:
                more = search.candidates(rows, rotations[:, 0], shifts[:, 0])
                rotations = torch.cat([rotations, more[0]], dim=1)
                shifts = torch.cat([shifts, more[1]], dim=1)
            return rotations, shifts, prior and prior[rows]

        return of

    refinement = _Refinement(frames, volumes, components)
    if n_candidates > 1:
        low = min(radius, SEARCH_RADIUS)
        kept = 2 if chain is None else n_candidates
        fit = refinement.best(searched, low, kept, on_frames)
        fit = refinement.best(_given(_likeliest(fit, 2, chain)), radius, 1 if chain is None else 2)
    else:
        fit = refinement.best(searched, radius, 1, on_frames)
    fit = own = _likeliest(fit, 1, chain)
    if chain is not None:
        prior = chain.from_neighbours(own.rotations[:, 0], own.covariance[:, 0, :3, :3])
        fit = refinement.best(_given(own, prior), radius, 1)
        fit = replace(fit, covariance=chain.inflation * fit.covariance)
    return ImprovedPoses(_estimates(fit), _estimates(own))


def _given(fit: PoseFit, prior: RotationPrior | None = None) -> _ForVolumes:
    """Candidates from an earlier fit, independent of the volumes."""

    def of(rows: np.ndarray) -> tuple[Tensor, Tensor, RotationPrior | None]:
        return fit.rotations[rows], fit.shifts_angstrom[rows], prior and prior[rows]

    return lambda parts: of


@dataclass(frozen=True)
class _Refinement:
    """Refinement of candidates against the volumes of the folds."""

    frames: FoldedFrames
    volumes: Tensor
    components: Tensor | None

    def best(
        self,
        candidates: _ForVolumes,
        radius: float,
        keep: int,
        on_frames: Callable[[int], None] = _uncounted,
    ) -> PoseFit:
        """The best of every frame's candidates, by its own score, refined: ``(N, keep, …)``."""
        found: list[tuple[np.ndarray, PoseFit]] = []
        for fold in range(FOLDS + 1):
            mine = np.flatnonzero(self.frames.fold == fold)
            if len(mine) == 0:
                continue
            parts = self._parts(fold)
            fit, of = _FoldRefinement(self.frames, parts, radius), candidates(parts)
            for rows in self.frames.blocks(mine):
                found.append((rows, fit.best(rows, *of(rows), keep=keep)))
                on_frames(len(rows))
        order = torch.from_numpy(np.concatenate([rows for rows, _ in found]).argsort())
        return _each(lambda *parts: torch.cat(parts)[order], *(fit for _, fit in found))

    def _parts(self, fold: int) -> Tensor:
        """μ and U that the frames of a fold are compared with, ``(1 + q, D', D', D')``."""
        volume = self.volumes[min(fold, len(self.volumes) - 1)]
        if self.components is None:
            return volume[None]
        return torch.cat([volume[None], resized(self.components, len(volume))])


class _FoldRefinement:
    """Levenberg–Marquardt at the frequencies below a radius, for frames of one fold."""

    def __init__(self, frames: FoldedFrames, volumes: Tensor, radius: float) -> None:
        grid = grid_below(frames.model.box, radius)
        self.frames, self.n = frames, frames.n_pixels(radius)
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
        images, ctf = self.frames.source.take(rows, self.n)
        fit = refine_poses(
            self.frames.model,
            self.references,
            images.repeat_interleave(k, 0),
            ctf.repeat_interleave(k, 0),
            rotations.flatten(0, 1),
            shifts.flatten(0, 1),
            shift_sd_angstrom=self.frames.shift_sd_angstrom,
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
    """The ``keep`` of ``(B, K, …)`` with the greatest values ``(B, K)``, best first."""
    best = value.topk(keep, dim=1).indices
    index = torch.arange(len(best))[:, None]
    return _each(lambda values: values[index, best], fit)


def _likeliest(fit: PoseFit, keep: int, chain: PoseChain | None) -> PoseFit:
    """The best by their own scores, or by the best path of the movie through each.

    A path is judged by evidences, in which the spread of a pose counts.
    """
    if chain is None:
        return _kept(fit, fit.score, keep)
    variance = fit.covariance.diagonal(dim1=-2, dim2=-1)[..., :3].mean(-1)
    return _kept(fit, chain.best_paths(fit.rotations, variance, fit.evidence), keep)


def _estimates(fit: PoseFit) -> PoseEstimates:
    """The poses of a fit with one candidate a frame."""
    return PoseEstimates(
        fit.rotations[:, 0], fit.shifts_angstrom[:, 0], fit.covariance[:, 0], fit.score[:, 0]
    )
