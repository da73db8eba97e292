"""Boxes of a frame: the pixels outside the particle, the plane through them, and binning."""

from __future__ import annotations

import numpy as np


def background_disc(edge: int, diameter: float) -> np.ndarray:
    """Pixels of a box that lie outside a particle, bool ``(edge, edge)``; the corners at least."""
    line = np.arange(edge) - edge // 2
    radius = np.hypot(line[:, None], line[None])
    return np.asarray(radius > min(0.6 * diameter, 0.5 * edge))


def fourier_crop(image: np.ndarray, box: int) -> np.ndarray:
    """Image ``(box, box)`` of the lowest frequencies; its values stay those of the larger image."""
    edge = len(image)
    if edge == box:
        return image.astype(np.float32)
    transformed = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image)))
    low = edge // 2 - box // 2
    part = transformed[low : low + box, low : low + box]
    small = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(part))).real
    return np.asarray(small * (box / edge) ** 2, dtype=np.float32)


def plane(image: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Plane through the pixels outside the particle, by least squares."""
    edge = len(image)
    line = (np.arange(edge) - (edge - 1) / 2) / edge
    y, x = np.meshgrid(line, line, indexing="ij")
    design = np.stack([np.ones_like(x), x, y], axis=-1)
    found = np.linalg.lstsq(design[outside], image[outside], rcond=None)[0]
    return np.asarray(design @ found)
