"""Where the motion of a cloud is not determined: two half sets move a place differently.

Each half set has Gaussians of its own. So its displacements, from the mean over frames, are
interpolated between the nearest Gaussians, and compared at the same places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.physics.k_means import k_means

_NEIGHBOURS = 8  # Gaussians that a displacement is averaged over
_REGIONS = 12
_STILL = 0.5  # pixels; what differs by less is determined to stand still
_REACH = 2.0  # voxels, standard deviation of the maps
_LEAST_DENSITY = 0.05  # of the densest voxel; maps are 0 where there is less


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the molecule.

    Attributes:
        centre_angstrom: (x, y, z) from the centre of the box.
        share: of the density.
        moved_angstrom: rms displacement over frames, mean of both half sets.
        disagreement_angstrom: rms difference of the half sets.
        determined: false where they differ by more than the part moves, and by half a pixel.
    """

    centre_angstrom: tuple[float, float, float]
    share: float
    moved_angstrom: float
    disagreement_angstrom: float
    determined: bool


@dataclass(frozen=True, eq=False)
class Determination:
    """How far two half sets agree on the motion of a cloud.

    Attributes:
        regions: parts, those that move most first.
        undetermined_share: share of the density whose motion is not determined.
        moved: rms displacement of each voxel, Å, ``(D, D, D)``; 0 outside the molecule.
        disagreement: rms difference of the half sets, likewise.
    """

    regions: list[Region]
    undetermined_share: float
    moved: Tensor
    disagreement: Tensor


def compare_motions(
    first: Tensor, second: Tensor, weights: Tensor, box: int, pixel_size_angstrom: float
) -> Determination:
    """Compare the motions that two half sets have of the same n frames.

    Args:
        first: places of the N Gaussians of one half set in every frame, voxels from the centre,
            ``(n, N, 3)``.
        second: those of the M Gaussians of the other, ``(n, M, 3)``.
        weights: integrals of the first half set's Gaussians, ``(N,)``.
        box: edge D of the maps, voxels.
        pixel_size_angstrom: edge of a voxel, Å.
    """
    places, others = first.mean(0), second.mean(0)
    own = _averaged(first - places, *_neighbours(places, places))
    other = _averaged(second - others, *_neighbours(others, places))
    moved = _rms((own + other) / 2) * pixel_size_angstrom
    differ = _rms(own - other) * pixel_size_angstrom
    still = _STILL * pixel_size_angstrom
    doubtful = differ > moved.clamp(min=still)
    share = weights / weights.sum()
    return Determination(
        regions=_regions(places, share, moved, differ, still, pixel_size_angstrom),
        undetermined_share=float(share[doubtful].sum()),
        moved=_map(places, weights, moved, box),
        disagreement=_map(places, weights, differ, box),
    )


def _neighbours(centres: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Indices and weights of the centres ``(M, 3)`` nearest to places: ``(N, K)`` each."""
    from scipy.spatial import cKDTree

    near = list(range(1, min(_NEIGHBOURS, len(centres)) + 1))
    distance, index = cKDTree(centres.numpy()).query(places.numpy(), near)
    closeness = torch.from_numpy(1 / np.maximum(distance, 1.0)).to(places)
    return torch.from_numpy(index), closeness / closeness.sum(1, keepdim=True)


def _averaged(displacements: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Average displacements ``(n, M, 3)`` over neighbours ``(N, K)``: ``(n, N, 3)``."""
    return torch.stack([(one[index] * weights[..., None]).sum(1) for one in displacements])


def _rms(vectors: Tensor) -> Tensor:
    """Root mean square length over frames: ``(n, N, 3)`` → ``(N,)``."""
    return vectors.square().sum(-1).mean(0).sqrt()


def _regions(
    places: Tensor, share: Tensor, moved: Tensor, differ: Tensor, still: float, pixel_size: float
) -> list[Region]:
    """Cut the molecule into parts, and average over each."""
    groups = k_means(places.numpy(), _REGIONS, starts=2)
    found = []
    for part in range(len(groups.centres)):
        inside = torch.from_numpy(groups.label == part)
        own = share[inside] / share[inside].sum()
        motion = float((own * moved[inside].square()).sum().sqrt())
        doubt = float((own * differ[inside].square()).sum().sqrt())
        x, y, z = (pixel_size * (own[:, None] * places[inside]).sum(0)).tolist()
        found.append(
            Region(
                (x, y, z), float(share[inside].sum()), motion, doubt, doubt <= max(motion, still)
            )
        )
    return sorted(found, key=lambda region: -region.moved_angstrom)


def _map(places: Tensor, weights: Tensor, values: Tensor, box: int) -> Tensor:
    """Smooth values at places to a map ``(D, D, D)`` (z, y, x), weighted by the density."""
    from scipy.ndimage import gaussian_filter

    voxels = (places.flip(1).round().long() + box // 2).clamp(0, box - 1)
    flat = (voxels[:, 0] * box + voxels[:, 1]) * box + voxels[:, 2]
    sums = torch.zeros(2, box**3)
    sums[0].index_add_(0, flat, weights.float())
    sums[1].index_add_(0, flat, (weights * values).float())
    density, total = (gaussian_filter(one.numpy().reshape((box,) * 3), _REACH) for one in sums)
    inside = density > _LEAST_DENSITY * density.max()
    return torch.from_numpy(np.where(inside, total / np.where(inside, density, 1), 0)).float()
