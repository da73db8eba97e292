"""Parts of a molecule that move, and how far, measured in volumes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from temporem.report.level import Level
from temporem.report.render import moving_region

_MOVES = 0.5  # tint of a voxel that clearly moves
_LEAST_SHARE = 0.01  # of the density; less is a speck
_KEPT = 0.7  # of the largest excess; where less is left, density comes and goes
_MOST_PARTS = 4


@dataclass(frozen=True)
class MovingPart:
    """A connected region in which density changes.

    Attributes:
        share: part of the molecule's density that is elsewhere in another volume.
        travel_angstrom: largest distance between two places of its centre of mass.
        centre_angstrom: (x, y, z) of the region from the centre of the box.
        fades: density comes and goes there, and does not move within the region.
    """

    share: float
    travel_angstrom: float
    centre_angstrom: tuple[float, float, float]
    fades: bool


def find_moving_parts(
    volumes: np.ndarray, level: Level, pixel_size_angstrom: float
) -> list[MovingPart]:
    """Find the parts that move between volumes ``(S, D, D, D)``, those with most density first.

    In every connected region of change, the density that all volumes share is subtracted. The
    centre of mass of the rest tells where the part is. A part that turns about its own axis has
    no travel, so travel is a lower bound of how far atoms go.

    Args:
        volumes: in the order of the motion.
        level: of the molecule's surface.
        pixel_size_angstrom: edge of a voxel, Å.
    """
    bright = level.sign * volumes
    background = float(np.median(bright))
    density = np.clip(bright - background, 0, None)
    density[density < 0.5 * (level.height - background)] = 0  # noise around the molecule
    total = float(density.sum(axis=(1, 2, 3)).mean())
    moving = moving_region(bright, level.height) > _MOVES
    regions, count = ndimage.label(moving, structure=np.ones((3, 3, 3)))
    if total <= 0 or count == 0:
        return []
    parts = []
    grid = np.indices(moving.shape)[::-1] - len(moving) // 2  # x, y, z
    for region, where in enumerate(ndimage.find_objects(regions), start=1):
        inside = regions[where] == region
        at = grid[(slice(None), *where)][:, inside]
        found = density[(slice(None), *where)][:, inside]
        excess = found - found.min(axis=0)
        mass = excess.sum(axis=1)
        if mass.max() < _LEAST_SHARE * total:
            continue
        there = mass > 0.3 * mass.max()
        centres = (excess[there] @ at.T) / mass[there, None]
        apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1).max()
        middle = at.mean(axis=1) * pixel_size_angstrom
        parts.append(
            MovingPart(
                share=float(mass.max() / total),
                travel_angstrom=float(apart * pixel_size_angstrom),
                centre_angstrom=(float(middle[0]), float(middle[1]), float(middle[2])),
                fades=bool(mass.min() < (1 - _KEPT) * mass.max()),
            )
        )
    return sorted(parts, key=lambda part: -part.share)[:_MOST_PARTS]
