"""How far given poses are off, measured without a search.

About the given poses, the log-likelihood of frame i has the slope ``g_i = H_i δ_i + ε_i`` in the
rotation vector and shift (:mod:`temporem.poses.refinement`), with its curvature H, the error δ of
the pose, and noise of covariance ``H / s``, where the share s of the coefficients counts as
independent. So the mean of ``g gᵀ`` beyond that of noise gives the variances of rotations and
shifts. Each half set of movies is compared with the mean volume of the other.

A change of conformation moves density too, so that exact poses seem turned by some degrees, and
those of a compact molecule shifted. But its parts do not seem turned or shifted in common
(:mod:`temporem.poses.common_errors`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.frames.mean_comparison import filtered_halves, telling_shells
from temporem.frames.source import blocks_of
from temporem.physics.fourier import resized
from temporem.physics.padded_grid import grid_below
from temporem.poses.common_errors import CommonErrors, measure_common_errors
from temporem.poses.refinement import References, RotationPrior, expand_poses

_LEAST_RADIUS = 4  # cycles per box; fewer say nothing of a pose
_NEAR_DEGREES = 8.0
_MOST_PIXELS = 0.35  # exact poses seem shifted by up to 0.2, or more where parts do not share it
_SHARED = 0.5  # of a shift: less, and it is a motion
_MOST_DEGREES = 2.0  # in common; exact poses seem turned by up to 1.6
_SURE = 5.0  # standard errors
_LEAST_DEGREES, _LEAST_PIXELS = 0.5, 0.05  # widths of priors
_BLOCK = 2**17  # Fourier pixels; each has gradients in five directions


@dataclass(frozen=True)
class PoseErrors:
    """Root mean square errors of poses.

    Attributes:
        angle_degrees: length of the rotation vector.
        shift_angstrom: along each axis.
        shift_certainty: variance of the shifts, divided by its standard error.
        common: what all parts of the molecule share; None where it cannot be told.
    """

    angle_degrees: float
    shift_angstrom: float
    shift_certainty: float
    common: CommonErrors | None

    def are_off(self, pixel_size_angstrom: float) -> bool:
        """True if poses are shifted or turned beyond what the motion of a molecule looks like."""
        common = self.common
        if common is not None:
            if common.degrees > _MOST_DEGREES and common.turn_certainty > _SURE:
                return True
            if common.angstrom < _SHARED * self.shift_angstrom:
                return False  # parts move apart, as those of a compact molecule do
        far = self.shift_angstrom > _MOST_PIXELS * pixel_size_angstrom
        return far and self.shift_certainty > _SURE

    @property
    def are_near(self) -> bool:
        """True if poses are near the maximum of their likelihood, so that no search is needed."""
        return self.angle_degrees < _NEAR_DEGREES

    def prior(self, rotations: Tensor) -> RotationPrior:
        """Prior of rotations about given ones ``(N, 3, 3)``, as wide as their errors."""
        return RotationPrior.about(
            rotations, math.radians(max(self.angle_degrees, _LEAST_DEGREES)) / 3**0.5
        )

    def shift_sd(self, pixel_size_angstrom: float) -> float:
        """Standard deviation of the prior of shifts about given ones, Å."""
        return max(self.shift_angstrom, _LEAST_PIXELS * pixel_size_angstrom)


def measure_pose_errors(frames: Frames) -> PoseErrors | None:
    """Measure how far the poses of frames are off.

    Args:
        frames: frames in the given poses, with the mean volume of these.

    Returns:
        The errors; None where the mean volume is too poor to tell.
    """
    mean, model = frames.statistics.mean_volume, frames.forward_model
    radius = telling_shells(mean) - 0.5
    if radius < _LEAST_RADIUS:
        return None
    n = int((model.support.radii < radius).sum())
    grid = grid_below(model.box, radius)
    volumes = resized(filtered_halves(model, mean).maps, grid.box)
    excess, gain = [], []
    for half in (0, 1):
        references = References.of_volumes(volumes[1 - half][None], grid)
        for movie in frames.training[half::2]:
            own_excess = torch.zeros(2, dtype=torch.float64)
            own_gain = torch.zeros(2, 2, dtype=torch.float64)
            for part in blocks_of(movie, n, _BLOCK):
                images, ctf = frames.source.take(part, n)
                rotations = frames.rotations[part].double()
                curvature, slope = expand_poses(model, references, images, ctf, rotations)
                noise = curvature / frames.statistics.independent_share
                beyond = slope.square() - noise.diagonal(dim1=-2, dim2=-1)
                own_excess += _by_kind(beyond).sum(1)
                own_gain += _by_kind(_by_kind(curvature.square().sum(0)))
            excess.append(own_excess)
            gain.append(own_gain)
    common = measure_common_errors(frames, volumes, grid, n)
    return _solved(torch.stack(excess), torch.stack(gain), common)


def _solved(excess: Tensor, gain: Tensor, common: CommonErrors | None) -> PoseErrors:
    """Variances that explain the excess of M movies ``(M, 2)``, with their gains ``(M, 2, 2)``."""
    inverse = torch.linalg.pinv(gain.sum(0))
    variance = inverse @ excess.sum(0)
    off = (excess - (gain @ variance)) @ inverse.T
    error = off.square().sum(0).sqrt()
    turn, shift = variance.clamp(min=0).sqrt().tolist()
    certainty = float(variance[1] / error[1].clamp(min=1e-300))
    return PoseErrors(math.degrees(3**0.5 * turn), shift, certainty, common)


def _by_kind(values: Tensor) -> Tensor:
    """Sums over the three numbers of a rotation and the two of a shift: ``(n, 5)`` → ``(2, n)``."""
    return torch.stack([values[:, :3].sum(1), values[:, 3:].sum(1)])
