"""Digest of a dataset, with which a resumed run recognises it."""

from __future__ import annotations

import hashlib

import numpy as np

from temporem.frames.dataset import Dataset

_IMAGES = 64  # evenly spaced; all of a large dataset would take too long


def fingerprint(dataset: Dataset) -> str:
    """Compute a hexadecimal digest of all columns, row by row, and of some of the images.

    It does not depend on the dataset's folder.
    """
    digest = hashlib.sha256()

    def add(values: np.ndarray) -> None:
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())

    add(np.array([dataset.pixel_size_angstrom]))
    add(dataset.poses.rotations.numpy())
    add(dataset.poses.shifts_angstrom.numpy())
    for values in dataset.ctf.columns().values():
        add(values.numpy())
    digest.update("\n".join(dataset.particle_names).encode())
    add(dataset.frame_numbers)
    add(dataset.times_seconds)
    if dataset.noise_power is not None:
        add(dataset.noise_power)
    chosen = np.unique(np.linspace(0, dataset.n_frames - 1, _IMAGES).round().astype(np.int64))
    add(dataset.images[chosen])
    return digest.hexdigest()
