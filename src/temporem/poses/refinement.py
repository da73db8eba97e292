"""Refinement of poses by Levenberg and Marquardt, and the posterior about them.

A frame has five numbers of its pose and q of its conformation. The image in the pose
``exp([ω]×) R``, ``d + δ`` is linearised in ω and δ. With the slice A of the volume V at the points
``f = Rᵀk`` and ``g = R ∇V̂(f)``, k = (kx, ky, 0),

``∂A/∂ω = −g · (e × k) = (−g_z k_y, g_z k_x, g_x k_y − g_y k_x)``,   ``∂S/∂d = −2πi k S``.

``∇V̂`` is the transform of ``−2πi x V(x)``, sampled as a channel of its own for each axis: exact but
for the interpolation that the slices have too.

Where volumes change, ``V = μ + Σ_j z_j U_j`` with ``z ~ N(0, 1)``, z is found with the pose, so
that neither takes what belongs to the other: ``∂A/∂z_j`` is the slice of U_j.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.physics.forward import ForwardModel
from temporem.physics.padded_grid import PaddedGrid
from temporem.physics.rotations import (
    nearest_rotation,
    rotation_of_vector,
    vector_of_rotation,
)

_DAMPING = 1e-2  # fraction of the diagonal, in the first step
_LEAST_DAMPING, _MOST_DAMPING = 1e-4, 1e4
_LARGEST_TURN = 0.35  # radians in one step
_REST = 0.01  # nats that an undamped step promises: less than a seventh of a standard deviation


@dataclass(frozen=True)
class PoseFit:
    """Poses of B frames at the maximum of the posterior.

    Attributes:
        rotations: float64 ``(B, 3, 3)``.
        shifts_angstrom: float64 ``(B, 2)``.
        latents: z, float64 ``(B, q)``.
        covariance: posterior covariance of (ω, d), z integrated out, radians and Å, float64
            ``(B, 5, 5)``.
        score: log-likelihood as in :mod:`temporem.poses.scores`, plus log-prior, ``(B,)``.
        evidence: Laplace's approximation of the log-evidence but for a constant, ``(B,)``:
            ``score − ½ log det H`` with H the curvature in all unknowns, z among them.
    """

    rotations: Tensor
    shifts_angstrom: Tensor
    latents: Tensor
    covariance: Tensor
    score: Tensor
    evidence: Tensor


@dataclass(frozen=True)
class RotationPrior:
    """Gaussian priors of B rotations, in the rotation vector that leads from each to the mean.

    Attributes:
        mean: ``(B, 3, 3)`` float64.
        precision: radians⁻², ``(B, 3, 3)`` float64.
    """

    mean: Tensor
    precision: Tensor

    @classmethod
    def about(cls, rotations: Tensor, sd_radians: float) -> RotationPrior:
        """Errors of the same size about each axis, about ``(B, 3, 3)``."""
        precision = torch.eye(3, dtype=torch.float64) / sd_radians**2
        return cls(rotations.double(), precision.expand(len(rotations), 3, 3))

    def __getitem__(self, rows: Tensor | np.ndarray) -> RotationPrior:
        return RotationPrior(self.mean[rows], self.precision[rows])


@dataclass(frozen=True)
class References:
    """Volumes that images are compared with, μ and U, and their gradients in Fourier space.

    Attributes:
        grid: grid that they are sampled on.
        rows: C = 1 + q volumes and, for each, three channels of its gradient: complex ``(V, 4 C)``.
    """

    grid: PaddedGrid
    rows: Tensor

    @classmethod
    def of_volumes(cls, volumes: Tensor, grid: PaddedGrid) -> References:
        """Prepare C volumes on the grid's box, ``(C, D, D, D)``."""
        box = volumes.shape[-1]
        axis = (torch.arange(box, device=volumes.device) - box // 2) / box
        parts = [volumes, volumes * axis, volumes * axis[:, None], volumes * axis[:, None, None]]
        rows = grid.from_volumes(torch.stack(parts, dim=1).flatten(0, 1))
        factor = torch.tensor([1, -2j * math.pi, -2j * math.pi, -2j * math.pi])
        return cls(grid, rows * factor.to(rows).repeat(len(volumes)))

    @property
    def q(self) -> int:
        return self.rows.shape[1] // 4 - 1

    def sample(self, frequencies: Tensor, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Slices of all C volumes, and the gradient of each frame's own volume.

        Args:
            frequencies: where to sample, cycles per box, ``(B, P, 3)``.
            mixture: weights (1, z) of the volumes in each frame's own, ``(B, C)``.

        Returns:
            Complex ``(B, P, C)`` and ``(B, P, 3)``.
        """
        values, gradients = self.sample_each(frequencies)
        return values, torch.einsum("bpcj,bc->bpj", gradients, mixture.to(gradients))

    def sample_each(self, frequencies: Tensor) -> tuple[Tensor, Tensor]:
        """Slices and gradients of all C volumes: complex ``(B, P, C)`` and ``(B, P, C, 3)``."""
        corners = self.grid.corners(frequencies)
        values = self.grid.extract(self.rows, corners)
        values = values.view(*frequencies.shape[:2], -1, 4)
        # the gradient of a real volume is odd: a mirrored sample has the other sign
        sign = torch.where(corners.mirrored, -1.0, 1.0).view(*frequencies.shape[:2], 1, 1)
        return values[..., 0], values[..., 1:] * sign


def turn_slopes(gradients: Tensor, turns: Tensor, frequencies: Tensor) -> Tensor:
    """Derivative of slices by a rotation vector, ``∂A/∂ω``: complex ``(B, P, ..., 3)``.

    Args:
        gradients: of the volumes at the slices' points, ``(B, P, ..., 3)``.
        turns: rotations R, ``(B, 3, 3)``.
        frequencies: image frequencies k, ``(P, 2)``.
    """
    camera = torch.einsum("bij,bp...j->bp...i", turns.to(gradients), gradients)
    kx, ky = frequencies.view(len(frequencies), *(1,) * (gradients.dim() - 3), 2).unbind(-1)
    return torch.stack(
        [
            -camera[..., 2] * ky,
            camera[..., 2] * kx,
            camera[..., 0] * ky - camera[..., 1] * kx,
        ],
        dim=-1,
    )


def refine_poses(
    model: ForwardModel,
    references: References,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_angstrom: Tensor,
    *,
    shift_sd_angstrom: float,
    iterations: int,
    latents: Tensor | None = None,
    prior: RotationPrior | None = None,
) -> PoseFit:
    """Refine the pose and latent of every frame by itself (Levenberg 1944; Marquardt 1963).

    A frame with slope g and curvature H stops as soon as the gain ``½ gᵀ H⁻¹ g`` that is left, in
    nats, is next to nothing.

    Args:
        model: image formation.
        references: volumes that the frames show.
        images: lowest frequencies of B frames with unit noise, ``(B, P)``.
        ctf: CTF, ``(B, P)``.
        rotations: rotations to start from, ``(B, 3, 3)``.
        shifts_angstrom: shifts to start from, ``(B, 2)``.
        shift_sd_angstrom: standard deviation of the Gaussian prior of shifts about 0.
        iterations: largest number of steps.
        latents: z to start from, ``(B, q)``; 0 when None.
        prior: prior of rotations; uniform when None.
    """
    problem = _Problem(model, references, images, ctf, shift_sd_angstrom, prior)
    rotation, shift = rotations.double().clone(), shifts_angstrom.double().clone()
    z = shift.new_zeros(len(shift), references.q)
    if latents is not None:
        z += latents
    score, curvature, slope = problem.expand(rotation, shift, z)
    damping = torch.full_like(score, _DAMPING)
    moving = torch.arange(len(score))
    for _ in range(iterations):
        moving = moving[_gain(curvature[moving], slope[moving]) > _REST]
        if len(moving) == 0:
            break
        diagonal = curvature[moving].diagonal(dim1=-2, dim2=-1)
        damped = _ridged(curvature[moving] + torch.diag_embed(damping[moving, None] * diagonal))
        step = torch.linalg.solve(damped, slope[moving])
        turn = step[:, :3]
        turn = turn * (_LARGEST_TURN / turn.norm(dim=-1, keepdim=True).clamp(min=1e-12)).clamp(
            max=1
        )
        tried = (
            nearest_rotation(rotation_of_vector(turn) @ rotation[moving]),
            shift[moving] + step[:, 3:5],
            z[moving] + step[:, 5:],
        )
        expanded = problem.of(moving).expand(*tried)
        better = expanded[0] > score[moving]
        state = (rotation, shift, z, score, curvature, slope)
        for known, new in zip(state, (*tried, *expanded), strict=True):
            known[moving[better]] = new[better]
        damping[moving] = torch.where(better, damping[moving] / 5, damping[moving] * 8).clamp(
            _LEAST_DAMPING, _MOST_DAMPING
        )
    curvature = _ridged(curvature)
    covariance = torch.linalg.inv(curvature)[:, :5, :5]
    evidence = score - 0.5 * torch.logdet(curvature)
    return PoseFit(rotation, shift, z, covariance, score, evidence)


def expand_poses(
    model: ForwardModel, references: References, images: Tensor, ctf: Tensor, rotations: Tensor
) -> tuple[Tensor, Tensor]:
    """Expand the log-likelihood about poses with shifts of 0.

    Args:
        model: image formation.
        references: one volume.
        images: lowest frequencies of B frames with unit noise, ``(B, P)``.
        ctf: CTF, ``(B, P)``.
        rotations: ``(B, 3, 3)``.

    Returns:
        Curvature ``(B, 5, 5)`` and slope ``(B, 5)`` in rotation vector and shift, radians and Å.
    """
    zero = torch.zeros(len(images), 2, dtype=torch.float64)
    problem = _Problem(model, references, images, ctf, math.inf)
    _, curvature, slope = problem.expand(rotations, zero, zero[:, :0])
    return curvature, slope


def _gain(curvature: Tensor, slope: Tensor) -> Tensor:
    """Gain that an undamped step promises, ``½ gᵀ H⁻¹ g`` nats: ``(B,)``."""
    return 0.5 * (slope * torch.linalg.solve(_ridged(curvature), slope)).sum(-1)


def _ridged(curvature: Tensor) -> Tensor:
    """Curvatures ``(B, n, n)`` with a ridge, so that those of empty images can be inverted."""
    return curvature + 1e-9 * torch.eye(curvature.shape[-1], dtype=curvature.dtype)


@dataclass(frozen=True)
class _Problem:
    model: ForwardModel
    references: References
    images: Tensor
    ctf: Tensor
    shift_sd_angstrom: float
    prior: RotationPrior | None = None

    def of(self, frames: Tensor) -> _Problem:
        """The problem of some of the frames."""
        images, ctf = self.images[frames], self.ctf[frames]
        return replace(self, images=images, ctf=ctf, prior=self.prior and self.prior[frames])

    def expand(self, rotations: Tensor, shifts: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-posterior ``(B,)``, its curvature ``(B, 5+q, 5+q)``, slope ``(B, 5+q)``, float64."""
        model, n = self.model, self.images.shape[1]
        turns = rotations.to(self.ctf)
        points = model.slice_frequencies(turns, slice(0, n))
        mixture = torch.cat([z.new_ones(len(z), 1), z], dim=1)
        channels, gradient = self.references.sample(points, mixture)
        slices = torch.einsum("bpc,bc->bp", channels, mixture.to(channels))
        k = model.support.frequencies[:n].to(turns)
        about = turn_slopes(gradient, turns, k)
        phase = model.shift_phase(shifts)[:, :n]
        observed = model.observe(slices, self.ctf, phase)
        along = (-2j * math.pi) * model.frequencies_per_angstrom()[:n].to(turns)
        optics = (self.ctf * phase)[..., None]
        jacobian = torch.cat(
            [about * optics, observed[..., None] * along, channels[..., 1:] * optics], dim=-1
        )
        weights = model.support.weights[:n].to(turns)
        root = weights.sqrt()[:, None]
        real = torch.view_as_real(jacobian * root).movedim(-1, 1).flatten(1, 2)  # (B, 2P, 5)
        residual = torch.view_as_real((self.images - observed) * root[:, 0]).movedim(-1, 1)
        precision = torch.ones_like(real[0, 0]).double()
        precision[:3], precision[3:5] = 0, self.shift_sd_angstrom**-2
        from_zero = torch.cat([torch.zeros_like(shifts[:, :1]).expand(-1, 3), shifts, z], dim=1)
        curvature = (real.mT @ real).double() + torch.diag(precision)
        slope = (real.mT @ residual.flatten(1)[..., None])[..., 0].double() - precision * from_zero
        product = (self.images.conj() * observed).real - 0.5 * observed.abs().square()
        score = (product * weights).sum(-1, dtype=torch.float64)
        score = score - 0.5 * (precision * from_zero.square()).sum(-1)
        if self.prior is not None:
            away = vector_of_rotation(self.prior.mean @ rotations.mT)
            pull = (self.prior.precision @ away[..., None])[..., 0]
            score = score - 0.5 * (pull * away).sum(-1)
            slope[:, :3] += pull
            curvature[:, :3, :3] += self.prior.precision
        return score, curvature, slope
