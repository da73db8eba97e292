"""Images of one volume that does not move, like those of a dataset: the null hypothesis of motion.

Poses, CTF, movies and the power of the noise are those of the dataset. If poses are off, a molecule
that stands still seems to change. So the images are simulated in poses that are turned and shifted
at random, and are then taken to be in the poses that the dataset states.

Errors of poses blur the mean volume of the dataset. If a blurred volume were turned at random, it
would show too little. So volume and errors are adjusted until the simulated images have the mean
volume of the dataset and its measured errors (indirect inference; Gourieroux, Monfort and Renault
1993).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.frames.source import FramesInMemory
from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import soft_ball, window_ball
from temporem.physics.padded_grid import PaddedGrid, full_grid
from temporem.physics.rotations import rotation_of_vector
from temporem.poses.errors import PoseErrors, measure_pose_errors
from temporem.volumes.back_projection import BackProjection, back_project

_WINDOW_EDGE = 0.1  # of the images' window, in half boxes
_ROUNDS = 4  # of the adjustment
_LARGEST_FACTOR = 1.6  # of errors in one round
_MOST_DEGREES = 25.0
_LEAST_DEGREES, _LEAST_PIXELS = 0.5, 0.02  # smaller errors are none
_ADJUSTMENT = 2**31  # added to the seed in the adjustment


@dataclass(frozen=True, eq=False)
class StillMolecule:
    """A molecule that does not move, in the poses of a dataset.

    Attributes:
        frames: frames of the dataset at low resolution, in memory.
        volume: in units of the noise, ``(D, D, D)``.
        noise: σ² at integer radii, ``(n_shells,)``; the last holds beyond.
        angle_degrees: root mean square angle by which poses are turned.
        shift_angstrom: standard deviation of shifts, along each axis.
        window_radius: radius of the window of the images, in half boxes.
    """

    frames: Frames
    volume: Tensor
    noise: Tensor
    angle_degrees: float
    shift_angstrom: float
    window_radius: float

    def draw(self, seed: int) -> Frames:
        """Simulate images of all frames, with new noise and new errors of poses."""
        clean, generator = self.clean(seed)
        support, n = FourierSupport(self.frames.forward_model.box, 2), len(self.frames)
        box = support.box
        edge = _WINDOW_EDGE * box / 2
        window = soft_ball(box, 2, self.window_radius * box / 2 - edge, edge)
        white = torch.randn(n, box, box, generator=generator)
        noise = support.fft(white * window) / window.square().mean().sqrt()
        noise *= self.noise[support.shells.clamp(max=len(self.noise) - 1)].sqrt()
        ctf = _ctf_of(self.frames)
        images = clean + noise * ctf.any(1, keepdim=True)
        return replace(self.frames, source=FramesInMemory(images, ctf))

    def clean(self, seed: int) -> tuple[Tensor, torch.Generator]:
        """Simulate images without noise ``(N, P)``; returns the generator of the errors, too."""
        frames, model = self.frames, self.frames.forward_model
        generator = torch.Generator().manual_seed(seed)
        n, grid = len(frames), _grid(frames)
        turns = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        turns *= math.radians(self.angle_degrees) / 3**0.5
        shifts = self.shift_angstrom * torch.randn(n, 2, generator=generator)
        moved = replace(frames, rotations=rotation_of_vector(turns).float() @ frames.rotations)
        rows = grid.from_volumes(self.volume[None])
        images = torch.zeros(n, len(model.support), dtype=torch.complex64)
        for block in moved.blocks(frames.training):
            corners = grid.corners(model.slice_frequencies(block.rotations))
            slices = grid.extract(rows, corners).view(len(block.rows), -1)
            images[block.rows] = model.observe(
                slices, block.ctf, model.shift_phase(shifts[block.rows])
            )
        return images, generator


def still_molecule(
    frames: Frames, noise: Tensor, *, window_radius: float, errors: PoseErrors | None, seed: int
) -> StillMolecule:
    """Make the molecule whose images would have the mean volume and pose errors of a dataset.

    Args:
        frames: frames at low resolution, in memory.
        noise: σ² of the images at integer radii, ``(n_shells,)``.
        window_radius: radius of the window of the images, in half boxes.
        errors: measured errors of the poses; None for exact poses.
        seed: of the errors that are drawn in the adjustment.
    """
    angle, shift = (0.0, 0.0) if errors is None else _counted(errors, frames)
    empty = torch.zeros(3 * (frames.forward_model.box,))
    still = StillMolecule(frames, empty, noise, angle, shift, window_radius)
    target = _mean_volume(still, _images_of(frames))
    still = replace(still, volume=target)
    for turn in range(_ROUNDS):
        drawn = seed + _ADJUSTMENT + turn
        seen = _mean_volume(still, still.clean(drawn)[0])
        still = replace(still, volume=still.volume + target - seen)
        measured = _measure(still, drawn) if angle or shift else None
        if measured is not None:
            found = _counted(measured, frames)
            turned = _scaled(still.angle_degrees, angle, found[0])
            shifted = _scaled(still.shift_angstrom, shift, found[1])
            still = replace(still, angle_degrees=min(turned, _MOST_DEGREES), shift_angstrom=shifted)
    return still


def _measure(still: StillMolecule, seed: int) -> PoseErrors | None:
    """Measure the errors of poses of simulated images, as it was done with the dataset."""
    return measure_pose_errors(_with_mean(still, still.draw(seed)))


def _counted(errors: PoseErrors, frames: Frames) -> tuple[float, float]:
    """Angle and shift of errors, 0 where they are too small to matter."""
    angle, shift = errors.angle_degrees, errors.shift_angstrom
    pixel = frames.forward_model.pixel_size_angstrom
    return (
        angle if angle >= _LEAST_DEGREES else 0.0,
        shift if shift >= _LEAST_PIXELS * pixel else 0.0,
    )


def _scaled(current: float, wanted: float, found: float) -> float:
    factor = wanted / found if found else _LARGEST_FACTOR
    return current * float(np.clip(factor, 1 / _LARGEST_FACTOR, _LARGEST_FACTOR))


def _mean_volume(still: StillMolecule, images: Tensor) -> Tensor:
    """Back-project images ``(N, P)`` with a prior that does not depend on them: linear in them."""
    frames = replace(still.frames, source=FramesInMemory(images, _ctf_of(still.frames)))
    box = frames.forward_model.box
    sums = BackProjection(_grid(frames))
    for block in frames.blocks(frames.training):
        frequencies = frames.forward_model.slice_frequencies(block.rotations)
        sums.add(block.images, block.ctf, frequencies)
    power = frames.statistics.spectral_prior.mean[: box // 2]
    return sums.solve_with_power(power) * window_ball(box, still.window_radius)


def _with_mean(still: StillMolecule, frames: Frames) -> Frames:
    """Frames with the mean volume and half sets of their own images."""
    blocks = (
        (block.images, block.ctf, block.rotations, torch.full((len(block.rows),), half))
        for half in (0, 1)
        for block in frames.blocks(frames.training[half::2])
    )
    mean = back_project(frames.forward_model, blocks, still.window_radius)
    return replace(frames, statistics=replace(frames.statistics, mean_volume=mean))


def _grid(frames: Frames) -> PaddedGrid:
    return full_grid(frames.forward_model.box, torch.device("cpu"))


def _images_of(frames: Frames) -> Tensor:
    return frames.source.take(np.arange(len(frames)))[0]


def _ctf_of(frames: Frames) -> Tensor:
    return frames.source.take(np.arange(len(frames)))[1]
