"""Directions from which a molecule is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import affine_transform

_SEARCH_BOX = 32  # voxels: plenty to rank directions, and fast
_DIRECTIONS = 80  # spread evenly over the sphere
_MARGIN = 6  # voxels around a framed molecule, sum of both sides


@dataclass(frozen=True)
class View:
    """A direction to look from, as in matplotlib's 3D axes: z points up on the screen.

    Args:
        elevation_degrees: height of the viewer above the xy plane.
        azimuth_degrees: angle of the viewer about z, from x towards y.
        centre: middle of the picture, in voxels (right, up) from the centre of the box.
        extent: edge of the picture in voxels; the box's own when None.
    """

    elevation_degrees: float = 15.0
    azimuth_degrees: float = -60.0
    centre: tuple[float, float] = (0.0, 0.0)
    extent: float | None = None

    @property
    def rotation(self) -> np.ndarray:
        """Molecule (x, y, z) to screen (right, up, towards the viewer), ``(3, 3)``."""
        elevation, azimuth = np.deg2rad([self.elevation_degrees, self.azimuth_degrees])
        towards = _direction(elevation, azimuth)
        right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        return np.stack([right, np.cross(towards, right), towards])

    def framing(self, volumes: np.ndarray, level: float) -> View:
        """Fit the picture to the voxels of volumes ``(S, D, D, D)`` that exceed the level.

        Up to 0.2 % of the voxels on each side, such as specks of noise, may fall outside.
        """
        ends = []
        for volume in volumes:
            voxels = np.argwhere(volume > level)[:, ::-1] - len(volume) // 2
            if len(voxels):
                screen = voxels @ self.rotation[:2].T
                ends.append(np.quantile(screen, [0.002, 0.998], axis=0))
        if not ends:
            return self
        low, high = np.min(ends, axis=(0, 1)), np.max(ends, axis=(0, 1))
        right, up = (float(c) for c in (low + high) / 2)
        return replace(self, centre=(right, up), extent=float((high - low).max()) + _MARGIN)


@dataclass(frozen=True)
class TurnedView(View):
    """A view in any direction, with any direction upwards.

    Args:
        matrix: molecule (x, y, z) to screen (right, up, towards the viewer), row by row.
    """

    matrix: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @property
    def rotation(self) -> np.ndarray:
        return np.reshape(self.matrix, (3, 3))


def revealing_view(volumes: np.ndarray, level: float) -> View:
    """Find the view in which surfaces of volumes ``(S, D, D, D)`` at a level differ most.

    Directions are spread over the sphere; the one in which the largest part of the picture changes
    wins. Hidden motion does not count, and a hinge is seen along its axis.
    """
    solids = [_shrink(volume > level) for volume in volumes]
    views = [View(*angles) for angles in _sphere(_DIRECTIONS)]
    changed = [
        int((np.std([_depth_map(solid, view) for solid in solids], axis=0) > 1).sum())
        for view in views
    ]
    return views[int(np.argmax(changed))]


def _depth_map(solid: np.ndarray, view: View) -> np.ndarray:
    """Distance from the back of the box to the front of a solid; 0 beside the solid."""
    turned = _turn(solid, view) > 0.5
    depth = np.arange(1, len(solid) + 1)[:, None, None]
    return (turned * depth).max(axis=0)


def _turn(volume: np.ndarray, view: View) -> np.ndarray:
    """Turn a volume to the axes of the screen: (towards the viewer, up, right)."""
    matrix = view.rotation[::-1, ::-1].T
    centre = np.full(3, len(volume) // 2)
    return affine_transform(volume, matrix, centre - matrix @ centre, order=1)


def _shrink(volume: np.ndarray) -> np.ndarray:
    """Average blocks of voxels, for an edge of at most ``_SEARCH_BOX``."""
    step = -(-len(volume) // _SEARCH_BOX)
    edge = len(volume) // step
    trimmed = volume[: edge * step, : edge * step, : edge * step]
    return trimmed.reshape(edge, step, edge, step, edge, step).mean(axis=(1, 3, 5))


def _sphere(count: int) -> list[tuple[float, float]]:
    """Elevation and azimuth, degrees, of evenly spread directions (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    elevation = np.arcsin(1 - 2 * index / count)
    azimuth = (np.pi * (3 - np.sqrt(5)) * index) % (2 * np.pi)
    pairs = np.rad2deg(np.stack([elevation, azimuth], axis=-1))
    return [(float(a), float(b)) for a, b in pairs]


def _direction(elevation: float, azimuth: float) -> np.ndarray:
    """Unit vector (x, y, z) towards a viewer; angles in radians."""
    return np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
