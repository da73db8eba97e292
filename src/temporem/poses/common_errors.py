"""Errors of poses that all parts of a molecule share, which its motion does not make.

The mean volume is cut into three parts. Each has a rotation and a shift of its own about the given
pose, with the slopes ``g_p`` and curvatures ``H_pq`` of the log-likelihood. So
``g_p = Σ_q H_pq δ_q + ε_p`` with noise of covariance ``H_pq / s``, where the share s of the
coefficients counts as independent. The means of ``g_p · g_q`` beyond that of noise, over rotations
and over shifts, give covariances ``T_pq`` of the parts' rotations and of their shifts. Shifts are
found beside rotations, because a part that turns about the middle of the box is shifted too.

Where a pose is off, all parts seem off alike, and all three covariances of different parts are the
variance of its error. Where parts move against each other, some of the three are 0 or negative. Two
parts may belong to one domain, but then neither moves with the third. So the middle one decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.frames.source import blocks_of
from temporem.physics.padded_grid import PaddedGrid
from temporem.poses.refinement import References, turn_slopes

_LEAST_MOVIES = 20  # the standard error is taken over them
_PARTS = 3
_PAIRS = [(p, q) for p in range(_PARTS) for q in range(p, _PARTS)]
_BETWEEN = [i for i, (p, q) in enumerate(_PAIRS) if p != q]
_KINDS = (slice(0, 3), slice(3, 5))  # of a part's five numbers: rotation vector and shift
_DENSE = 0.3  # of the density that few voxels exceed; what is below has no say in the cut
_ROUNDS = 30
_BLOCK = 2**15  # Fourier pixels; each has gradients of every part


@dataclass(frozen=True)
class CommonErrors:
    """Error that the parts of a molecule share.

    Attributes:
        degrees: root mean square length of the rotation vector.
        turn_certainty: variance of rotations, divided by its standard error.
        angstrom: root mean square shift along each axis.
    """

    degrees: float
    turn_certainty: float
    angstrom: float


def measure_common_errors(
    frames: Frames, volumes: Tensor, grid: PaddedGrid, n_pixels: int
) -> CommonErrors | None:
    """Measure the errors that parts of the molecule share in given poses.

    Args:
        frames: frames in these poses.
        volumes: half sets of the mean volume on the grid's box, ``(2, D, D, D)``. Each half set of
            movies is compared with the volume of the other.
        grid: grid that they are sampled on.
        n_pixels: image frequencies to use, the lowest ones.

    Returns:
        The errors; None where movies are too few to know the standard error, or there are no parts.
    """
    few = len(frames.training) < _LEAST_MOVIES
    if few or not volumes.isfinite().all() or int(_dense(volumes.mean(0)).sum()) < _PARTS:
        return None
    part = cut(volumes.mean(0))
    excess, gain = [], []
    for half in (0, 1):
        masked = torch.stack([volumes[1 - half] * (part == p) for p in range(_PARTS)])
        references = References.of_volumes(masked, grid)
        for movie in frames.training[half::2]:
            own_excess = torch.zeros(len(_KINDS) * len(_PAIRS), dtype=torch.float64)
            own_gain = own_excess.new_zeros(len(own_excess), len(own_excess))
            for rows in blocks_of(movie, n_pixels, _BLOCK):
                slope, curvature = _expand(frames, references, rows, n_pixels)
                own_excess += _excess(slope, curvature, frames.statistics.independent_share)
                own_gain += _gain(curvature)
            excess.append(own_excess)
            gain.append(own_gain)
    measured, response = torch.stack(excess), torch.stack(gain)
    n = len(_PAIRS)
    # With shifts beside them rotations would be less certain. Where there are shifts, these tell.
    turn, turn_certainty = _middle(measured[:, :n], response[:, :n, :n])
    shift, _ = _middle(measured, response)
    return CommonErrors(math.degrees((3 * turn) ** 0.5), turn_certainty, shift**0.5)


def _middle(measured: Tensor, response: Tensor) -> tuple[float, float]:
    """Variance of the last kind that parts share, and its certainty: that of their middle pair.

    Args:
        measured: products of slopes in M movies, ``(M, C)``.
        response: their response to C covariances, ``(M, C, C)``.
    """
    inverse = torch.linalg.pinv(response.sum(0))
    covariance = inverse @ measured.sum(0)
    error = ((measured - response @ covariance) @ inverse.T).square().sum(0).sqrt()
    last = [i - len(_PAIRS) for i in _BETWEEN]
    certainty = covariance[last] / error[last].clamp(min=1e-300)
    middle = int(certainty.argsort()[len(last) // 2])
    return max(float(covariance[last][middle]), 0.0), float(certainty[middle])


def cut(volume: Tensor) -> Tensor:
    """Cut a volume ``(D, D, D)`` into parts of dense neighbours: their numbers, ``(D, D, D)``.

    Lloyd's k-means (1982) of dense voxels, from voxels that are far from each other. All voxels
    then belong to the nearest centre.
    """
    axis = torch.arange(len(volume), dtype=torch.float64)
    places = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(-1, 3)
    density, dense = volume.flatten().double(), _dense(volume)
    points, weight = places[dense], density[dense, None]
    centres = ((weight * points).sum(0) / weight.sum())[None]
    for _ in range(_PARTS):
        farthest = torch.cdist(points, centres).amin(1).argmax()
        centres = torch.cat([centres, points[farthest, None]])
    centres = centres[1:]
    for _ in range(_ROUNDS):
        nearest = torch.cdist(points, centres).argmin(1)
        member = torch.nn.functional.one_hot(nearest, _PARTS).double() * weight
        centres = (member.T @ points) / member.sum(0).clamp(min=1e-12)[:, None]
    return torch.cdist(places, centres).argmin(1).view(volume.shape)


def _dense(volume: Tensor) -> Tensor:
    """True where a volume is dense, for its voxels in a row."""
    density = volume.flatten().double()
    return density > max(_DENSE * float(density.quantile(0.995)), 0.0)


def _expand(
    frames: Frames, references: References, rows: np.ndarray, n_pixels: int
) -> tuple[Tensor, Tensor]:
    """Slope ``(B, K, 5)`` and curvature ``(B, K, 5, K, 5)`` in the poses of K parts."""
    model = frames.forward_model
    images, ctf = frames.source.take(rows, n_pixels)
    turns = frames.rotations[torch.from_numpy(rows)].to(ctf)
    k = model.support.frequencies[:n_pixels].to(ctf)
    root = model.support.weights[:n_pixels].to(ctf).sqrt()
    values, gradients = references.sample_each(model.slice_frequencies(turns, slice(0, n_pixels)))
    optics = (ctf * root)[..., None]
    seen = values * optics  # (B, P, K)
    about = turn_slopes(gradients, turns, k) * optics[..., None]  # (B, P, K, 3)
    along = (-2j * math.pi) * model.frequencies_per_angstrom()[:n_pixels].to(ctf)
    moved = seen[..., None] * along[:, None]  # (B, P, K, 2)
    left = images * root - seen.sum(-1)
    slopes = torch.cat([about, moved], dim=-1).flatten(2)
    jacobian = torch.view_as_real(slopes).movedim(-1, 1).flatten(1, 2)  # (B, 2P, 5K)
    residual = torch.view_as_real(left).movedim(-1, 1).flatten(1)
    slope = (jacobian.mT @ residual[..., None])[..., 0].double()
    curvature = (jacobian.mT @ jacobian).double()
    shape = (len(rows), _PARTS, 5)
    return slope.view(shape), curvature.view(*shape, _PARTS, 5)


def _excess(slope: Tensor, curvature: Tensor, share: float) -> Tensor:
    """Products of slopes beyond those of noise, summed over B frames: by kind, then by pair."""
    found = []
    for kind in _KINDS:
        own = slope[..., kind]
        noise = curvature[:, :, kind, :, kind].diagonal(dim1=2, dim2=4).sum(-1) / share  # (B, K, K)
        beyond = (own @ own.mT - noise).sum(0)
        found += [beyond[p, q] for p, q in _PAIRS]
    return torch.stack(found)


def _gain(curvature: Tensor) -> Tensor:
    """Response of the products to the covariances, both by kind and pair, summed over frames."""
    return torch.cat(
        [
            torch.cat([_response(curvature[:, :, one, :, other]) for other in _KINDS], dim=1)
            for one in _KINDS
        ]
    )


def _response(curvature: Tensor) -> Tensor:
    """Response of the pairs of one kind to those of another, of curvatures between both."""
    # Σ_ac H_pa,sc H_qa,tc over the numbers a and c of the kinds; s and t in both orders
    response = torch.einsum("bpasc,bqatc->pqst", curvature, curvature)
    both = [
        [response[p, q, s, t] + (response[p, q, t, s] if s != t else 0) for s, t in _PAIRS]
        for p, q in _PAIRS
    ]
    return torch.stack([torch.stack(row) for row in both])
