"""Alignment of conformations with one another, to undo turns that a motion left in poses.

Images do not change when the volume of a conformation is turned together with the poses of its
frames (:mod:`temporem.physics.rigid_transform`). So images alone do not show which part of a
molecule moves and which stays. A search that compares frames with a mean volume turns each
conformation so that the moving part comes nearer to the mean's. Here conformations are turned until
as much as possible of the molecule stays where it is. They minimise, over all pairs of volumes,

``Σ_{k<l} Σ_x ρ(V_k(Q_k x + t_k) − V_l(Q_l x + t_l))``,   ``ρ(d) = √(d² + ε²)``.

With magnitudes in the place of squares, a part gets no more weight for moving far.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from temporem.physics.fourier import resized
from temporem.physics.k_means import k_means, n_different
from temporem.physics.rigid_transform import RigidTransform
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector
from temporem.poses.estimates import ImprovedPoses
from temporem.poses.folds import FoldedFrames

# Noise as strong as the differences of classes would make a sum of magnitudes one of squares:
# therefore few classes, of many frames, and not at all frequencies.
_CLASSES = 6
_FRAMES_OF_A_CLASS = 100  # at least, on average
_CLASS_RADIUS = 8.0  # cycles per box
_STEPS = 60
_TURN, _OFFSET = 0.02, 0.05  # radians and voxels of the first step
_SMALL = 0.1  # ε, in standard deviations of the volumes
_INSIDE = 0.9  # of the half box: voxels that stay in the box when they are turned
_FINER = 4
"""Factor by which volumes are oversampled before interpolation. Linear interpolation between coarse
voxels would average noise away, and volumes would agree better for any turn."""


def align_conformations(
    frames: FoldedFrames,
    improved: ImprovedPoses,
    latents: Tensor,
    rows: np.ndarray,
    *,
    power: Tensor,
    radius: float,
    seed: int,
) -> tuple[ImprovedPoses, list[float]]:
    """Turn conformations so that as much as possible of the molecule stays where it is.

    Args:
        frames: all N frames.
        improved: their poses.
        latents: latents that put frames into classes, ``(N, q)``.
        rows: frames that make the classes and their volumes; the others are turned with them.
        power: prior power τ² of slices at integer radii, ``(R,)``.
        radius: highest frequency, cycles per box.
        seed: seed of the classes.

    Returns:
        The poses, and the angle that each class was turned by, degrees. With too few frames, or
        too few different latents, for two classes nothing is turned.
    """
    different = n_different(latents.double().numpy()[rows])
    n_classes = min(_CLASSES, len(rows) // _FRAMES_OF_A_CLASS, different)
    if n_classes < 2:
        return improved, []
    classes = classes_of(latents, rows, n_classes, seed)
    volumes = frames.class_volumes(improved.estimates, classes, power, min(radius, _CLASS_RADIUS))
    model = frames.model
    voxel = model.box * model.pixel_size_angstrom / volumes.shape[-1]
    changes = conformational_alignment(volumes, voxel)
    turns = torch.stack([change.rotation for change in changes])
    degrees = geodesic_degrees(turns, torch.eye(3).double()).tolist()
    return improved.changed(changes, classes), degrees


def classes_of(latents: Tensor, rows: np.ndarray, n_classes: int, seed: int) -> np.ndarray:
    """Classes of frames with like latents ``(N, q)``, by K-means: integers ``(N,)``.

    Every latent counts in units of its own spread. Only ``rows`` make the classes; other frames go
    to the nearest.
    """
    values = latents.double().numpy()
    spread = values[rows].std(0)
    values = values / np.where(spread > 0, spread, 1)
    return k_means(values[rows], n_classes, starts=5, seed=seed).nearest(values)


def conformational_alignment(volumes: Tensor, voxel_angstrom: float) -> list[RigidTransform]:
    """Find the transforms after which volumes ``(K, D, D, D)`` agree best.

    The descent begins where the volumes are, so it finds small ones. Rotation vectors and
    displacements have the mean 0, because a turn of all volumes means nothing.
    """
    n, box = len(volumes), volumes.shape[-1]
    fine = resized(volumes, _FINER * box)
    fine = fine / fine.std()
    points = _inside(box)
    first, second = torch.triu_indices(n, n, offset=1)
    vectors, offsets = (torch.zeros(n, 3, requires_grad=True) for _ in range(2))
    rates = [(vectors, _TURN), (offsets, _OFFSET)]
    optimizer = torch.optim.Adam([{"params": [p], "lr": rate} for p, rate in rates])
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1 / _STEPS, _STEPS)
    for _ in range(_STEPS):
        turns, moves = _about_mean(vectors), _about_mean(offsets)
        values = _at(fine, points @ rotation_of_vector(turns).mT + moves[:, None])
        loss = ((values[first] - values[second]).square() + _SMALL**2).sqrt().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    turns, moves = (_about_mean(p.detach()).double() for p in (vectors, offsets))
    return [
        RigidTransform(rotation, mirrored=False, shift_angstrom=move * voxel_angstrom)
        for rotation, move in zip(rotation_of_vector(turns), moves, strict=True)
    ]


def _about_mean(values: Tensor) -> Tensor:
    return values - values.mean(0)


def _at(fine: Tensor, points: Tensor) -> Tensor:
    """Values ``(K, V)`` of volumes on the finer grid at points ``(K, V, 3)``, in coarse voxels."""
    n = fine.shape[-1]
    # Voxel i is at 2i/(n − 1) − 1 here; the origin is voxel n // 2.
    grid = (_FINER * points + n // 2) * 2 / (n - 1) - 1
    sampled = grid_sample(fine[:, None], grid[:, :, None, None], align_corners=True)
    return sampled[:, 0, :, 0, 0]


def _inside(box: int) -> Tensor:
    """Voxels (x, y, z) from the origin at ``D // 2``, ``(V, 3)``."""
    axis = torch.arange(box, dtype=torch.float32) - box // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z], dim=-1).view(-1, 3)
    return points[points.norm(dim=1) < _INSIDE * box / 2]
