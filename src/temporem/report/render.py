"""Pictures of density: shaded isosurfaces, in numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter, zoom
from skimage.measure import marching_cubes

from temporem.report.camera import View
from temporem.report.raster import rasterise
from temporem.report.theme import BODY, MOVING

_SUPERSAMPLING = 2
_COARSE = 10  # pixels per step of the grid above which triangles become visible
_FINEST = 4  # steps in a voxel
_MOST_VOXELS = 2**22  # of a refined grid
_GAP = 4  # pixels around trimmed pictures
_LIGHT = np.array([-0.45, 0.65, 0.62]) / np.linalg.norm([-0.45, 0.65, 0.62])
_TO_VIEWER = np.array([0.0, 0.0, 1.0])
_HALFWAY = (_LIGHT + _TO_VIEWER) / np.linalg.norm(_LIGHT + _TO_VIEWER)


def moving_region(volumes: np.ndarray, level: float) -> np.ndarray:
    """Find where volumes ``(S, D, D, D)`` change: values 0 … 1, ``(D, D, D)``.

    The measure is the standard deviation over the volumes, relative to the height of the level
    above the background.
    """
    spread = gaussian_filter(volumes.std(axis=0), 0.8)
    height = max(level - float(np.median(volumes)), 1e-12)
    return np.clip(6 * spread / height - 0.7, 0, 1)


def render_isosurface(
    volume: np.ndarray,
    level: float,
    view: View | None = None,
    size: int = 200,
    *,
    tint: np.ndarray | None = None,
) -> np.ndarray:
    """Draw a shaded isosurface on a transparent ground.

    Args:
        volume: density ``(D, D, D)`` (z, y, x), rotated about voxel ``D // 2``.
        level: density of the surface.
        view: direction to look from, and part of the box in the picture.
        size: edge of the picture, pixels.
        tint: fraction of the colour of moving parts for every voxel, 0 … 1.

    Returns:
        RGBA ``(size, size, 4)`` uint8; empty where nothing exceeds the level.
    """
    view = view or View()
    canvas = size * _SUPERSAMPLING
    scale = canvas / (view.extent or len(volume))
    vertices, faces, normals = find_surface(volume, level, steps=math.ceil(scale / _COARSE))
    camera = (vertices[:, ::-1] - len(volume) // 2) @ view.rotation.T * scale
    middle, (right, up) = (canvas - 1) / 2, np.array(view.centre) * scale
    screen = np.stack([middle + camera[:, 0] - right, middle - camera[:, 1] + up], axis=-1)
    seen = rasterise(screen, camera[:, 2], faces, (canvas, canvas))
    if not len(seen.pixels):
        return np.zeros((size, size, 4), np.uint8)

    amount = np.zeros(len(vertices)) if tint is None else sample_at(tint, vertices)
    amount = seen.interpolate(amount.clip(0, 1), faces)[:, None]
    colour = (1 - amount) * np.array(BODY) + amount * np.array(MOVING)
    normal = seen.interpolate(normals[:, ::-1] @ view.rotation.T, faces)
    depth = np.full(canvas * canvas, np.nan)
    depth[seen.pixels] = seen.interpolate(camera[:, 2], faces) / scale

    image = np.zeros((canvas * canvas, 4))
    open_to_light = _occlusion(depth, canvas, scale)[seen.pixels, None]
    image[seen.pixels, :3] = _shade(colour, normal) * open_to_light
    image[seen.pixels, 3] = 1
    return _downsample(image.reshape(canvas, canvas, 4))


def trim(rows: Mapping[str, Sequence[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Cut off the border that is empty in all of some RGBA pictures of one size."""
    everything = np.stack([picture for pictures in rows.values() for picture in pictures])
    opacity = everything[..., 3].max(axis=0)
    part = _seen(opacity.max(axis=1)), _seen(opacity.max(axis=0))
    return {name: [picture[part] for picture in pictures] for name, pictures in rows.items()}


def _seen(opacity: np.ndarray) -> slice:
    """Span from the first to the last opaque pixel, with a small gap; all if none is opaque."""
    index = np.flatnonzero(opacity)
    return slice(max(index[0] - _GAP, 0), index[-1] + 1 + _GAP) if len(index) else slice(None)


def find_surface(
    volume: np.ndarray, level: float, *, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find vertices (z, y, x) ``(V, 3)``, faces ``(F, 3)`` and unit normals ``(V, 3)``.

    Marching cubes (Lewiner et al. 2003), on a grid with up to ``steps`` steps in a voxel, between
    which cubic splines interpolate.
    """
    above = np.argwhere(volume > level)
    if not len(above):
        return np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros((0, 3))
    # The part that contains the surface, which is closed at the edge of the box.
    low = np.maximum(above.min(axis=0) - 2, 0)
    high = above.max(axis=0) + 3
    part = volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    steps = max(1, min(steps, _FINEST, int((_MOST_VOXELS / part.size) ** (1 / 3))))
    if steps > 1:
        part = zoom(part, [(steps * (n - 1) + 1) / n for n in part.shape], order=3)
    padded = np.pad(part, 1, constant_values=min(float(part.min()), level - 1e-6))
    vertices, faces, _, _ = marching_cubes(padded, level, allow_degenerate=False)
    smooth = gaussian_filter(padded, 0.35 * steps if steps > 1 else 0.7)
    slope = np.stack([sample_at(axis, vertices) for axis in np.gradient(smooth)], axis=-1)
    normals = -slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-12)
    return (vertices - 1) / steps + low, faces, normals


def sample_at(volume: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Interpolate a volume at points (z, y, x) in voxels, ``(V, 3)``: ``(V,)``."""
    return map_coordinates(volume, points.T, order=1, mode="nearest")


def _shade(colour: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Light a surface from the upper left and from the sky, with a soft highlight."""
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    diffuse = np.maximum(normal @ _LIGHT, 0)
    sky = 0.5 + 0.5 * normal[:, 1]
    highlight = np.maximum(normal @ _HALFWAY, 0) ** 24
    light = 0.54 + 0.18 * sky + 0.54 * diffuse
    return colour * light[:, None] + 0.16 * highlight[:, None]


def _occlusion(depth: np.ndarray, canvas: int, scale: float) -> np.ndarray:
    """Darken hollows, outlines and distant parts: a factor per pixel.

    A hollow lies deeper than its surroundings (unsharp masking of the depth buffer, Luft et al.
    2006).

    Args:
        depth: depth towards the viewer, voxels, NaN where nothing is seen, ``(canvas²,)``.
        canvas: edge of the image, pixels.
        scale: pixels per voxel.
    """
    image = depth.reshape(canvas, canvas)
    empty = np.isnan(image)
    near, far = np.nanmax(image), np.nanmin(image)
    filled = np.where(empty, far, image)
    covered = _blur((~empty).astype(float), 7 * scale)
    around = _blur(np.where(empty, 0, image), 7 * scale) / np.maximum(covered, 1e-3)
    hollow = np.clip((around - filled) / 6, 0, 1)
    edge = np.clip((_blur(filled, 0.9 * scale) - filled) / 2.5, 0, 1)
    distance = (near - filled) / max(near - far, 1e-6)
    return ((1 - 0.5 * hollow) * (1 - 0.35 * edge) * (1 - 0.22 * distance)).ravel()


def _blur(image: np.ndarray, width: float) -> np.ndarray:
    """Apply two box filters: nearly a Gaussian, and equally fast for any width in pixels."""
    size = max(round(width), 1)
    return uniform_filter(uniform_filter(image, size, mode="nearest"), size, mode="nearest")


def _downsample(image: np.ndarray) -> np.ndarray:
    """Average pixels of a supersampled RGBA image, weighted by coverage: uint8."""
    size = len(image) // _SUPERSAMPLING
    blocks = image.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING, 4)
    mean = blocks.mean(axis=(1, 3))  # colours are 0 where alpha is 0, as if premultiplied
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-6)
    return (mean.clip(0, 1) * 255 + 0.5).astype(np.uint8)
