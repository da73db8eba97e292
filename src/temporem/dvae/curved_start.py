"""A start for one latent: a linear model bent along a curve, with all frames of a movie at once.

A motion with one degree of freedom bends through several components of a linear model. Where noise
is strong, a linear model can afford two of them, and latents of four dimensions are too free: most
of the bend is lost. Here frames have one coordinate z from the beginning, and volumes are
``V(z) = μ + Σ_k B_k(z) U_k`` with polynomials B of unit spread over the frames, which do not
correlate. The posterior of z, given all frames of a movie, is that of a hidden Markov model
(:mod:`temporem.dvae.smoothing`). As in the linear model, volumes that tell latents apart come from
other movies: a movie's own noise must not confirm its latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.latent_grid import grid_over, moments_on_grid
from temporem.dvae.latents import PLACES
from temporem.dvae.model import VAEKind
from temporem.dvae.smoothing import Transitions, smoothed_from, unsmoothed
from temporem.dvae.warm_start import WarmStart, refined_start
from temporem.frames.frames import Frames
from temporem.linear.cross_fit import coarse_solver, initial_parameters, sum_of
from temporem.linear.half_sets import agreed_precision
from temporem.linear.information import latent_information
from temporem.linear.model import LinearParameters, Posterior, Sums
from temporem.linear.solver import LinearSolver
from temporem.linear.state import LinearFit
from temporem.linear.steps import full_solver
from temporem.physics.masks import interpolated, window_ball
from temporem.progress import Progress
from temporem.volumes.latent_curve import LatentCurve
from temporem.volumes.minimise import minimise

CURVE_COMPONENTS = 6
"""Polynomials of the coordinate, and volumes that they weigh."""

_SWEEPS = 20
_LEARNED_SWEEPS = 12  # with a prior that is learned
_FOLDS = 8  # of the movies
_SETTLED = 0.004  # mean change of coordinates at which sweeps end
_EVEN = 0.1  # part of the chances of places that stays even
_LEAST_SPREAD = 1e-6
_CURVE_STEPS, _CURVE_RATE = 1000, 3e-3


@dataclass(frozen=True)
class _Curve:
    """A coordinate of frames, and K polynomials of it.

    Attributes:
        values: polynomials at the coordinates of N frames, 0 in frames that do not train, float64
            ``(N, K)``.
        places: evenly spaced coordinates, ``(G,)``.
        basis: polynomials there, float64 ``(G, K)``.
    """

    values: Tensor
    places: Tensor
    basis: Tensor

    @classmethod
    def through(cls, z: Tensor, rows: Tensor, n_frames: int) -> _Curve:
        """Make polynomials of unit spread over the frames, which do not correlate.

        Args:
            z: coordinates of the frames that train, ``(R,)``.
            rows: their rows, ``(R,)``.
            n_frames: N.
        """
        places = grid_over(z)
        both = torch.cat([z, places]).double()
        powers = ((both - z.min()) / (z.max() - z.min()) * 2 - 1)[:, None]
        powers = powers ** torch.arange(CURVE_COMPONENTS + 1)
        share = torch.full_like(both, _EVEN / PLACES)
        share[: len(z)] = (1 - _EVEN) / len(z)
        r = torch.linalg.qr(share.sqrt()[:, None] * powers).R
        found = torch.linalg.solve_triangular(r, powers, upper=True, left=False)
        found = (found * r.diagonal().sign())[:, 1:]
        values = found.new_zeros(n_frames, CURVE_COMPONENTS)
        values[rows] = found[: len(z)]
        return cls(values, places, found[len(z) :])


@dataclass(frozen=True)
class _Seen:
    """Posteriors of the coordinate of a curve.

    Attributes:
        curve: the curve.
        probability: of N frames at its G places, 0 in frames that do not train, ``(N, G)``.
        evidence: log-likelihood of a frame with volumes of other movies, nats.
    """

    curve: _Curve
    probability: Tensor
    evidence: float

    def coordinates(self, rows: Tensor) -> Tensor:
        """Mean coordinates of some frames, of unit spread."""
        return _standard(self.probability[rows] @ self.curve.places)

    @property
    def latents(self) -> Posterior:
        """Posterior of the polynomials, as latents of a linear model."""
        probability, basis = self.probability.double(), self.curve.basis
        mean = probability @ basis
        second = torch.einsum("tg,gi,gj->tij", probability, basis, basis)
        covariance = second - mean[:, :, None] * mean[:, None]
        return Posterior(mean, covariance, torch.zeros_like(covariance))


def curved_start(
    flat: WarmStart,
    fit: LinearFit,
    cropped: Frames,
    frames: Frames,
    kind: VAEKind,
    *,
    window_radius: float = 0.9,
    progress: Progress | None = None,
) -> WarmStart:
    """Bend the start of a network with one latent.

    Args:
        flat: start from a linear model.
        fit: that linear model.
        cropped: the frames in its box.
        frames: the frames.
        kind: ``static`` takes every frame by itself.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        progress: receives the progress.
    """
    rows = torch.from_numpy(np.concatenate(cropped.training))
    z = _standard(flat.mean[rows, 0])
    if not z.any():  # nothing varies
        return flat
    sweeps = _Sweeps(fit, cropped, kind, window_radius)
    best = _likeliest(sweeps, z, rows, progress or Progress())
    volumes = _full_volumes(fit, cropped, best.latents, window_radius)
    volumes[0] = fit.parameters.volumes[0]
    masks, volumes = refined_start(fit.masks, volumes, frames)
    places = best.curve.basis[:, 0].float()  # the first polynomial is linear
    mean, variance = moments_on_grid(best.probability, places)
    return WarmStart(mean, variance, _learned(best), volumes, masks[1])


def _likeliest(sweeps: _Sweeps, z: Tensor, rows: Tensor, progress: Progress) -> _Seen:
    """Find the posteriors whose volumes make movies likeliest that they have not seen.

    A prior that is learned resolves more. But it confirms what it starts from, which may be a poor
    path; so it begins twice: where the given prior ends, and where the linear model did.
    """
    total = _SWEEPS + 2 * _LEARNED_SWEEPS
    first, second = _SWEEPS / total, (_SWEEPS + _LEARNED_SWEEPS) / total
    given = sweeps.run(z, rows, _SWEEPS, progress.part(0, first))
    found = [given]
    for start, part in (
        (given.coordinates(rows), progress.part(first, second)),
        (z, progress.part(second, 1)),
    ):
        if start.any():
            found.append(sweeps.run(start, rows, _LEARNED_SWEEPS, part, learns_prior=True))
    return max(found, key=lambda seen: seen.evidence)


class _Sweeps:
    """Posteriors of latents at low resolution, from volumes of other movies."""

    def __init__(self, fit: LinearFit, frames: Frames, kind: VAEKind, window_radius: float) -> None:
        self.kind = kind
        self.solver = solver = coarse_solver(frames, window_radius)
        mask = interpolated(fit.masks[1].cpu().numpy(), solver.grid.box)
        moving = torch.from_numpy(mask).to(solver.mask)
        solver.mask = torch.stack([solver.mask] + [solver.mask * moving] * CURVE_COMPONENTS)
        self.frames = frames.low_pass(frames.training, solver.n_pixels)
        n = min(_FOLDS, len(frames.training))
        self.folds = [frames.training[k::n] for k in range(n)]
        self.weights = frames.statistics.independent_share * solver.weights

    def run(
        self,
        z: Tensor,
        rows: Tensor,
        most: int,
        progress: Progress,
        *,
        learns_prior: bool = False,
    ) -> _Seen:
        """Sweep from coordinates until they settle; return the likeliest posteriors."""
        self.learns_prior = learns_prior
        self.parameters = _first_parameters(self.solver, self.frames)
        # Learned from sweep to sweep, in parts of the grid.
        self.transitions = Transitions.initial(torch.linspace(0, 1, PLACES))
        best: _Seen | None = None
        for i in range(most):
            seen = self.see(_Curve.through(z, rows, len(self.frames)))
            if best is None or seen.evidence > best.evidence:
                best = seen
            before, z = z, seen.coordinates(rows)
            progress(i + 1, most, "curve of the motion")
            if float((z - before).abs().mean()) < _SETTLED or not z.any():
                break
        assert best is not None
        return best

    def see(self, curve: _Curve) -> _Seen:
        """Find posteriors with volumes of a curve.

        Frames stand at their mean coordinate, as in the linear model: with all of a broad
        posterior, volumes would shrink in every sweep until they tell nothing.
        """
        frames, points, basis = self.frames, Posterior.of_points(curve.values), curve.basis
        gathered = [
            self.solver.gather(self.parameters, points, frames.blocks(fold)) for fold in self.folds
        ]
        total = sum_of(gathered)
        if self.learns_prior:
            self.parameters = _with_agreed_prior(self.solver, self.parameters, gathered, total)
        found = torch.zeros(len(frames), PLACES, dtype=torch.float64)
        for own, fold in zip(gathered, self.folds, strict=True):
            others = replace(total, voxels=total.voxels - own.voxels)
            volumes = self.solver.step(self.parameters, others)
            for rows, information, score in self._information(volumes, fold):
                power = torch.einsum("gi,tij,gj->tg", basis, information, basis)
                found[rows] = score @ basis.T - 0.5 * power
        frames.processes.add(found)
        probability = self._smoothed(found.float())
        rows = torch.from_numpy(np.concatenate(frames.training))
        evidence = torch.logsumexp(found[rows] + _prior(probability).log(), 1).mean()
        return _Seen(curve, probability, float(evidence))

    def _smoothed(self, likelihood: Tensor) -> Tensor:
        frames = self.frames
        if self.kind == "static":
            return unsmoothed(likelihood, frames.training)
        times = frames.interval_index, frames.intervals
        probability, self.transitions = smoothed_from(
            self.transitions, likelihood, frames.training, *times
        )
        return probability

    def _information(
        self, volumes: Tensor, movies: list[np.ndarray]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Rows of frames, and what their images tell about latents."""
        solver = self.solver
        rows = solver.grid.from_volumes(volumes)
        weights = self.weights / self.parameters.noise[solver.shells]
        for block in self.frames.blocks(movies):
            design = solver.design(rows, block)
            residuals = block.images[:, : solver.n_pixels] - design[..., 0]
            information, score, _ = latent_information(residuals, design[..., 1:], weights)
            yield block.rows, information.cpu(), score.cpu()


def _prior(probability: Tensor) -> Tensor:
    """Chances of the places ``(G,)``: how often frames of posteriors ``(N, G)`` are there."""
    known = probability.sum(1) > 0
    return (1 - _EVEN) * probability[known].mean(0) + _EVEN / PLACES


def _standard(z: Tensor) -> Tensor:
    """Coordinates of mean 0 and unit spread; 0 where they hardly vary."""
    centred = z - z.mean()
    spread = centred.std()
    return centred / spread if spread > _LEAST_SPREAD else torch.zeros_like(z)


def _first_parameters(solver: LinearSolver, frames: Frames) -> LinearParameters:
    """Prior and noise; a polynomial of degree k changes the volumes with 1/k of the power."""
    first = initial_parameters(
        solver, CURVE_COMPONENTS, frames.statistics.spectral_prior, temporal=True
    )
    degrees = torch.cat([torch.ones(1), torch.arange(1, CURVE_COMPONENTS + 1)]).to(first.precision)
    return replace(first, precision=first.precision * degrees)


def _full_volumes(
    fit: LinearFit, frames: Frames, latents: Posterior, window_radius: float
) -> Tensor:
    """Solve for μ and U at full resolution, ``(K + 1, D, D, D)``; half sets give the prior."""
    wide = window_ball(frames.forward_model.box, window_radius).to(frames.device)
    solver = full_solver(frames, wide)
    parameters = _first_parameters(solver, frames)

    def gathered(movies: list[np.ndarray]) -> Sums:
        return solver.gather(parameters, latents, frames.blocks(movies))

    halves = [gathered(movies) for movies in (frames.training[0::2], frames.training[1::2])]
    total = sum_of(halves)
    parameters = _with_agreed_prior(solver, parameters, halves, total)
    solvent, moving = fit.masks.to(frames.device)
    solver.mask = torch.stack([solvent] + [moving] * CURVE_COMPONENTS)
    return solver.step(parameters, total)


def _with_agreed_prior(
    solver: LinearSolver, parameters: LinearParameters, parts: list[Sums], total: Sums
) -> LinearParameters:
    """Learn the prior of volumes from the agreement of both halves of some parts of the movies."""
    first, second = (
        solver.grid.from_volumes(solver.step(parameters, sum_of(parts[k::2]))) for k in (0, 1)
    )
    return replace(parameters, precision=agreed_precision(solver, first, second, total))


def _learned(seen: _Seen) -> LatentCurve:
    """Learn the polynomials as a curve of the first, which is linear."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        learned = LatentCurve(1, CURVE_COMPONENTS)
        places, targets = seen.curve.basis[:, :1].float(), seen.curve.basis.float()
        share = _prior(seen.probability)

        def loss(done: float) -> Tensor:
            return (share[:, None] * (learned(places) - targets).square()).sum()

        minimise(loss, [{"params": [*learned.parameters()], "lr": _CURVE_RATE}], _CURVE_STEPS)
    return learned
