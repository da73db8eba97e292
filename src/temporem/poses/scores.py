"""Log-likelihoods of many poses at once, as matrix products.

With unit noise, a frame X has in the pose (R, d) of a volume V the log-likelihood (Scheres 2012)

``−½ Σ_k w |X − CTF S(d) A_R|² = Re Σ_k w X* CTF S(d) A_R − ½ Σ_k w CTF² |A_R|² + constant``

with ``A_R`` the slice of V and w = 2 for the half plane. For all frames, shifts and rotations the
first term is one matrix product of ``(frames · shifts, 2P) × (2P, rotations)``, the second one of
``(frames, P) × (P, rotations)``. The constant ``−½ Σ w |X|²`` is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.physics.forward import ForwardModel
from temporem.physics.orientations import disc_lattice
from temporem.physics.padded_grid import PaddedGrid


@dataclass(frozen=True)
class Slices:
    """Slices of one volume in M orientations, ready for the matrix products.

    Attributes:
        cross: ``w A`` as real numbers, ``(2P, M)``.
        norm: ``−½ w |A|²``, ``(P, M)``.
    """

    cross: Tensor
    norm: Tensor

    @classmethod
    def of(cls, slices: Tensor, weights: Tensor) -> Slices:
        """Prepare complex slices ``(M, P)`` with weights ``(P,)`` of the half plane."""
        weighted = slices * weights
        cross = torch.view_as_real(weighted).flatten(1).T.contiguous()
        return cls(cross, (-0.5 * weights * slices.abs().square()).T.contiguous())


@dataclass(frozen=True)
class MovingSlices:
    """Slices of ``μ + z U`` with ``z ~ N(0, 1)``.

    Attributes:
        mean: slices of μ.
        change: slices of U.
        both: ``−w Re A_μ* A_U``, ``(P, M)``.
    """

    mean: Slices
    change: Slices
    both: Tensor

    @classmethod
    def of(cls, mean: Tensor, change: Tensor, weights: Tensor) -> MovingSlices:
        """Prepare complex slices ``(M, P)`` with weights ``(P,)`` of the half plane."""
        both = -weights * (mean.conj() * change).real
        return cls(Slices.of(mean, weights), Slices.of(change, weights), both.T.contiguous())


def moving_scores(shifted: Tensor, squares: Tensor, slices: MovingSlices) -> Tensor:
    """Log-evidence of B frames in all shifts and orientations, z integrated out: ``(B, T, M)``.

    The likelihood is ``exp(a + h z − ½ J z²)``; integrated over N(0, 1) it is
    ``exp(a + ½ h² / (1 + J)) / √(1 + J)``.
    """
    score = grid_scores(shifted, squares, slices.mean)
    h = (shifted.flatten(0, 1) @ slices.change.cross).view_as(score)
    h += (squares @ slices.both)[:, None]
    information = 1 - 2 * squares @ slices.change.norm
    score += 0.5 * h.square_() / information[:, None]
    return score - 0.5 * information.log()[:, None]


def grid_scores(shifted: Tensor, squares: Tensor, slices: Slices) -> Tensor:
    """Log-likelihoods of B frames in all shifts and orientations, ``(B, T, M)``.

    Args:
        shifted: from :func:`shifted_images`, ``(B, T, 2P)``.
        squares: CTF², ``(B, P)``.
        slices: slices in M orientations.
    """
    cross = shifted.flatten(0, 1) @ slices.cross
    return cross.view(*shifted.shape[:2], -1) + (squares @ slices.norm)[:, None]


def shifted_images(images: Tensor, ctf: Tensor, phases: Tensor) -> Tensor:
    """``X CTF S(d)*`` of B frames ``(B, P)`` and T shifts ``(T, P)``, as real ``(B, T, 2P)``."""
    return torch.view_as_real((images * ctf)[:, None] * phases.conj()).flatten(2)


def shift_grid(
    model: ForwardModel, shift_sd_angstrom: float, radius: float
) -> tuple[Tensor, Tensor]:
    """Lattice of shifts to search, ``(T, 2)`` Å, and their log-probability ``(T,)``.

    They reach to two standard deviations of the Gaussian prior. The spacing is such that half way
    between two shifts the phase at the radius is off by one radian.
    """
    spacing = model.box * model.pixel_size_angstrom / (math.pi * radius)
    shifts = disc_lattice(2 * shift_sd_angstrom, spacing)
    prior = -0.5 * (shifts / shift_sd_angstrom).square().sum(-1)
    return shifts, prior.float().log_softmax(0)


def slice_volume(
    model: ForwardModel, grid: PaddedGrid, rows: Tensor, rotations: Tensor, n_pixels: int
) -> Tensor:
    """Slices ``√D V̂(Rᵀk)`` in M orientations, of the lowest frequencies: complex ``(M, P)``.

    Args:
        model: image formation.
        grid: grid of the volume.
        rows: coefficients of the volume on the grid, complex ``(V, 1)``.
        rotations: orientations, ``(M, 3, 3)``.
        n_pixels: number P of frequencies.
    """
    points = model.slice_frequencies(rotations.float(), slice(0, n_pixels))
    return grid.extract(rows, grid.corners(points)).view(len(rotations), n_pixels)


@dataclass(frozen=True)
class BestPoses:
    """The K likeliest poses of B frames on a grid, best first.

    Attributes:
        rotation: index of the orientation, ``(B, K)``.
        shift: index of the shift, ``(B, K)``.
        score: log-likelihood, ``(B, K)``.
    """

    rotation: Tensor
    shift: Tensor
    score: Tensor


def best_poses(scores: Tensor, n_best: int) -> BestPoses:
    """Find the ``n_best`` orientations, each at its best shift, from scores ``(B, T, M)``."""
    over_shifts, shift = scores.max(dim=1)
    score, rotation = over_shifts.topk(min(n_best, scores.shape[2]), dim=1)
    return BestPoses(rotation, shift.gather(1, rotation), score)


def local_scores(
    model: ForwardModel,
    grid: PaddedGrid,
    rows: Tensor,
    shifted: Tensor,
    squares: Tensor,
    rotations: Tensor,
) -> Tensor:
    """Log-likelihoods of B frames in orientations of their own ``(B, L, 3, 3)``: ``(B, T, L)``."""
    n_pixels = squares.shape[1]
    slices = slice_volume(model, grid, rows, rotations.flatten(0, 1), n_pixels)
    slices = slices.view(*rotations.shape[:2], n_pixels)
    weights = model.support.weights[:n_pixels].to(squares)
    cross = shifted @ torch.view_as_real(slices * weights).flatten(2).mT
    norm = torch.einsum("bp,blp->bl", squares * weights, slices.abs().square())
    return cross - 0.5 * norm[:, None]
