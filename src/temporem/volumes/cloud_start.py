"""The start of a cloud of Gaussians: placed by a linear model, and moved as its volumes move.

Images are noisy and large turns have many wrong answers. The volumes of a linear model along its
latents hold the same motion with little noise, so that a rough fit to them finds the right turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import map_coordinates, maximum_filter
from torch import Tensor

from temporem.errors import TemporemError
from temporem.physics.fourier import FourierSupport
from temporem.physics.k_means import k_means
from temporem.volumes.latent_curve import LatentCurve
from temporem.volumes.minimise import minimise
from temporem.volumes.moving_cloud import POSITION_UNIT, SD_UNIT, WEIGHT_UNIT, MovingCloud

_ANCHORS = 12  # latents whose volumes are fitted
_AMPLIFIED = 2.0  # components of a linear model are shrunk by its prior
_DENSE = 0.15  # of the densest voxels: Gaussians are placed above
_LEAST_NUMBER = 0.25  # of Gaussians, as a part of the largest number
_LEAST_MOVING = 0.2  # part of the Gaussians that is placed where something moves
START_SD = 1.1
"""Width of Gaussians before they are fitted, voxels."""
_MARGIN = 5  # voxels, to which the mask of what moves is widened
_STILL_STEPS, _STILL_RADIUS = 90, 14.5  # fit of one volume; largest frequency, cycles per box
_MOVING_STEPS, _FIRST_RADIUS, _LAST_RADIUS = 150, 4, 10
_STILL_RATES = (0.05, 0.05, 0.01)  # voxels, logarithm of weight, of width
_MOVING_RATES = (0.02, 0.02)
_MOTION_RATE = 2e-3
_MEAN_WEIGHT = 0.1
_STRAIN_WEIGHT = 0.5


def fit_to_linear_model(
    cloud: MovingCloud, volumes: Tensor, moving: Tensor, curve: LatentCurve, z: Tensor
) -> None:
    """Place the Gaussians of a cloud in the middle of the motion, and fit the motion.

    Arguments are those of :meth:`LinearStarted.start_from`, all on the CPU.

    Raises:
        TemporemError: the volumes hold no density.
    """
    anchors, share = _anchors(z)
    with torch.no_grad():
        changes = torch.einsum("an,nzyx->azyx", curve(anchors), volumes[1:])
    targets = volumes[0] + _AMPLIFIED * changes
    middle = int(torch.cdist(anchors, anchors).sum(1).argmin())
    n = gaussians_that_move(targets[middle], moving, len(cloud))
    cloud.place(*draw_places(targets[middle], n, moving), START_SD)
    cloud.gate.copy_(_gate(cloud.skeleton.nodes, moving))
    support = FourierSupport(len(moving), 3)
    coefficients, mean = support.fft(targets), support.fft(volumes[0])
    _fit_still(cloud, support.box, coefficients[middle], anchors[middle])
    _fit_moving(cloud, support.box, coefficients, mean, anchors, share)


def _anchors(z: Tensor) -> tuple[Tensor, Tensor]:
    """Choose latents that stand for all, and the share of frames of each."""
    found = k_means(z.numpy(), _ANCHORS, starts=4)
    centres = torch.from_numpy(found.centres).to(z)
    counts = torch.from_numpy(np.bincount(found.label, minlength=len(centres)))
    return centres, (counts / len(z)).to(z)


def gaussians_that_move(volume: Tensor, moving: Tensor, most: int) -> int:
    """Choose how many Gaussians describe a motion: the share of the density that moves.

    What stands still, or moves as one body, is left to the maps of what Gaussians miss. These have
    half sets to tell detail from noise, and Gaussians have none.

    Args:
        volume: ``(D, D, D)``.
        moving: mask of what moves, values from 0 to 1, ``(D, D, D)``.
        most: largest number; a quarter of it is the least.

    Raises:
        TemporemError: the volume holds no density.
    """
    density = _density(volume)
    return round(most * max(_share(density, _values(moving)), _LEAST_NUMBER))


def draw_places(volume: Tensor, n: int, moving: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Draw n points from the density of a volume.

    A small part that moves may hold little of the density, and yet be what a run is about. So a
    fifth of the points at least are where the mask of what moves is.

    Args:
        volume: ``(D, D, D)``.
        n: number of points.
        moving: mask of what moves, values from 0 to 1, ``(D, D, D)``; None where nothing does.

    Returns:
        Points ``(n, 3)``, voxels from the centre, and the density that each stands for, ``(n,)``.

    Raises:
        TemporemError: the volume holds no density.
    """
    box, density = len(volume), _density(volume)
    odds = _odds(density, moving)
    random = np.random.default_rng(0)
    chosen = random.choice(density.size, n, p=odds.ravel())
    each = density.ravel()[chosen] / (n * odds.ravel()[chosen])
    voxels = np.stack(np.unravel_index(chosen, density.shape)[::-1], axis=-1)
    points = voxels - box // 2 + random.uniform(-0.5, 0.5, voxels.shape)
    return torch.from_numpy(points).float(), torch.from_numpy(each).float()


def _density(volume: Tensor) -> np.ndarray:
    """Density of a molecule, 0 outside, ``(D, D, D)``."""
    density = volume.double().numpy()
    least = max(0.0, _DENSE * np.percentile(density, 99.9))
    density = np.where(density > least, density, 0)
    if density.sum() == 0:
        raise TemporemError(
            "the linear model holds no density where Gaussians could be placed",
            expected="a molecule brighter than its surroundings",
            hint="if molecules are dark in the images, add --invert",
        )
    return density


def _odds(density: np.ndarray, moving: Tensor | None) -> np.ndarray:
    """Chances of voxels: their part of the density, raised where too few points would move."""
    density = density / density.sum()
    if moving is None:
        return density
    mask = _values(moving)
    share = _share(density, mask)
    if not 0 < share < _LEAST_MOVING:
        return density
    raised = _LEAST_MOVING * (1 - share) / (share * (1 - _LEAST_MOVING))
    odds = density * (1 + (raised - 1) * mask)
    return np.asarray(odds / odds.sum())


def _values(moving: Tensor) -> np.ndarray:
    return np.asarray(moving.double().cpu().numpy())


def _share(density: np.ndarray, mask: np.ndarray) -> float:
    """Part of the density that is in a mask."""
    return float((density * mask).sum() / density.sum())


def _gate(nodes: Tensor, moving: Tensor) -> Tensor:
    """Let nodes move, 1, or hold them, 0, by the mask of what moves."""
    wide = maximum_filter(moving.numpy(), _MARGIN)
    where = nodes.numpy()[:, ::-1].T + len(moving) // 2
    gate = map_coordinates(wide, where, order=1, mode="nearest").clip(0, 1)
    return torch.from_numpy(gate).to(nodes)


def _fit_still(cloud: MovingCloud, box: int, target: Tensor, z: Tensor) -> None:
    """Fit the cloud at one latent to the coefficients of its volume."""
    support = FourierSupport(box, 3, radius=_STILL_RADIUS)
    target = target[1 : len(support)]
    power = target.abs().square().sum()
    groups = _groups(cloud, _STILL_RATES)

    def loss(done: float) -> Tensor:
        found = cloud.coefficients(support, z[None])[0, 1:]
        return (found - target).abs().square().sum() / power

    minimise(loss, groups, _STILL_STEPS)


def _fit_moving(
    cloud: MovingCloud, box: int, targets: Tensor, mean: Tensor, anchors: Tensor, share: Tensor
) -> None:
    """Fit the motion to the volumes at the anchors, low frequencies first.

    The cloud's own mean is compared with the mean volume, which holds all of the density.
    """
    weight = share[:, None]
    changes = targets - (weight * targets).sum(0)
    power = (weight * changes.abs().square()).sum()
    groups = _groups(cloud, _MOVING_RATES)
    groups.append({"params": [*cloud.motion.parameters()], "lr": _MOTION_RATE})
    radii = range(_FIRST_RADIUS, _LAST_RADIUS + 1)
    supports = [FourierSupport(box, 3, radius=radius + 0.5) for radius in radii]

    def loss(done: float) -> Tensor:
        risen = min(1.0, 1.5 * done)
        support = supports[int(risen * (len(supports) - 1))]
        low = slice(1, len(support))
        found = cloud.coefficients(support, anchors)[:, 1:]
        average = (weight * found).sum(0)
        change = (weight * (found - average - changes[:, low]).abs().square()).sum()
        still = (average - mean[low]).abs().square().sum()
        strain = (share * cloud.strain(anchors)).sum()
        return (_MEAN_WEIGHT * still + change) / power + _STRAIN_WEIGHT * strain

    minimise(loss, groups, _MOVING_STEPS)


def _groups(cloud: MovingCloud, rates: Sequence[float]) -> list[dict[str, Any]]:
    """Parameters of the Gaussians, with step sizes in voxels and in logarithms."""
    units = (POSITION_UNIT, WEIGHT_UNIT, SD_UNIT)
    parameters = (cloud.rest, cloud.log_weight, cloud.log_sd)
    return [
        {"params": [parameter], "lr": rate / unit}
        for parameter, rate, unit in zip(parameters, rates, units, strict=False)
    ]
