"""A small z-buffer, which finds the pixels where triangles of a surface are visible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fragments:
    """The visible point of the surface in every covered pixel, M of them.

    Attributes:
        pixels: flat index into the image ``(M,)``.
        triangles: index of the visible triangle ``(M,)``.
        weights: barycentric coordinates of the point in the triangle ``(M, 3)``.
    """

    pixels: np.ndarray
    triangles: np.ndarray
    weights: np.ndarray

    def interpolate(self, vertex_values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Interpolate values at vertices ``(V, ...)`` to the fragments ``(M, ...)``."""
        corners = vertex_values[faces[self.triangles]]
        return np.einsum("mc,mc...->m...", self.weights, corners)


def rasterise(
    screen: np.ndarray, depth: np.ndarray, faces: np.ndarray, shape: tuple[int, int]
) -> Fragments:
    """Find the visible fragments of a closed triangle mesh in orthographic projection.

    Args:
        screen: vertices (column, row) in pixels ``(V, 2)``; pixel (i, j) is centred on (j, i).
        depth: larger is nearer the viewer, ``(V,)``.
        faces: vertex indices ``(F, 3)``, counter-clockwise on the screen when facing the viewer.
        shape: rows and columns of the image.
    """
    corners = screen.astype(np.float32)[faces]
    edges = corners[:, 1:] - corners[:, :1]
    # Rows point down, so counter-clockwise triangles have negative area.
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    limit = np.array(shape[::-1])
    first = np.ceil(corners.min(axis=1)).astype(int).clip(0, limit)
    last = np.floor(corners.max(axis=1)).astype(int).clip(-1, limit - 1)
    seen = np.flatnonzero((area < -1e-6) & (last >= first).all(axis=1))
    corners, edges, area, first = corners[seen], edges[seen], area[seen], first[seen]

    # Barycentric coordinates 1 and 2 are linear in the pixel: a value at the first, and slopes.
    start = first - corners[:, 0]
    slopes = np.stack([edges[:, 1, ::-1] * (1, -1), edges[:, 0, ::-1] * (-1, 1)], axis=1)
    slopes = (slopes / area[:, None, None]).astype(np.float32)
    values = np.einsum("nwd,nd->nw", slopes, start).astype(np.float32)

    # Triangles with bounding boxes of one size are tested together, on a common grid of pixels.
    size = last[seen] - first + 1
    key = size[:, 1] * (limit[0] + 1) + size[:, 0]
    pixels, triangles, weights = [], [], []
    for one_size in np.unique(key):
        rows, columns = divmod(int(one_size), int(limit[0]) + 1)
        group = np.flatnonzero(key == one_size)
        row, column = np.divmod(np.arange(rows * columns), columns)
        value, slope = values[group, :, None], slopes[group, :, :, None]
        w1, w2 = (value + slope[:, :, 0] * column + slope[:, :, 1] * row).swapaxes(0, 1)
        w0 = 1 - w1 - w2
        inside = np.minimum(np.minimum(w0, w1), w2) >= -1e-5  # shared edges leave no gaps
        which, point = np.nonzero(inside)
        corner = first[group[which]]
        pixels.append((corner[:, 1] + row[point]) * shape[1] + corner[:, 0] + column[point])
        triangles.append(seen[group[which]])
        weights.append(np.stack([w0[inside], w1[inside], w2[inside]], axis=-1))
    if not pixels:
        return Fragments(np.empty(0, int), np.empty(0, int), np.empty((0, 3)))
    covered = Fragments(*(np.concatenate(parts) for parts in (pixels, triangles, weights)))
    return _nearest(covered, covered.interpolate(depth, faces), shape[0] * shape[1])


def _nearest(fragments: Fragments, depth: np.ndarray, n_pixels: int) -> Fragments:
    """Keep one fragment of each pixel, nearest to the viewer, in the order of the pixels."""
    buffer = np.full(n_pixels, -np.inf)
    np.maximum.at(buffer, fragments.pixels, depth)
    nearest = np.flatnonzero(depth == buffer[fragments.pixels])
    chosen = np.full(n_pixels, -1)
    chosen[fragments.pixels[nearest]] = nearest
    keep = chosen[chosen >= 0]
    return Fragments(fragments.pixels[keep], fragments.triangles[keep], fragments.weights[keep])
