"""Measurement of the motion of a cloud: rigid bodies, hinges, displacements with bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.physics.k_means import k_means
from temporem.physics.screw_axis import RigidMotions, ScrewAxis, screw_axis
from temporem.progress import Progress
from temporem.volumes.cloud import CloudVolumes
from temporem.volumes.moving_cloud import MovingCloud
from temporem.volumes.rigid_bodies import (
    RigidBodies,
    bodies_that_touch,
    find_rigid_bodies,
    motions_of_bodies,
)
from temporem.volumes.source import Reconstruction

LEAST_TURN = 2.0
"""Smaller turns are not called a hinge, degrees."""
LEAST_SHARE_OF_TURN = 0.9
"""Part of a body's motion that turns about one axis must explain, to be called a hinge's."""
_LEAST_MISFIT = 0.1  # voxels
_ENDS = (0.01, 0.99)  # quantiles of the latents between which the path runs
_BAND = (0.05, 0.95)
_BLOCK = 64  # latents at a time


class Moving(Protocol):
    """A cloud of N points that moves with latents."""

    @property
    def weights(self) -> Tensor:
        """Density of each point, ``(N,)``."""
        ...

    def positions(self, z: Tensor) -> Tensor:
        """Positions (x, y, z), voxels from the centre of the box: ``(B, q)`` → ``(B, N, 3)``."""
        ...


@dataclass(frozen=True)
class Band:
    """A number for every frame, with the band that holds 90 % of its posterior.

    Attributes:
        value: at the posterior mean of the latents, ``(F, …)``.
        low: 5 % of the posterior samples are below, ``(F, …)``.
        high: 5 % are above, ``(F, …)``.
    """

    value: Tensor
    low: Tensor
    high: Tensor

    @property
    def reach(self) -> float:
        """Distance between the 2nd and the 98th percentile of the values."""
        ends = torch.tensor((0.02, 0.98)).to(self.value)
        low, high = self.value.flatten().quantile(ends).tolist()
        return float(high - low)

    @property
    def width(self) -> float:
        """Median width of the bands."""
        return float((self.high - self.low).flatten().median())


@dataclass(frozen=True)
class Hinge:
    """How a body turns against the one that it touches.

    Attributes:
        body: index of the body that turns.
        against: index of the heavier body, which is held still.
        axis: the axis, Å from the centre of the box, where the heavier body is in the reference
            state; turns and slides are those of the frames.
        angle_degrees: of every frame, from that of the first state of the path, ``(F,)``.
        path_degrees: of the states of the path, ``(S,)``.
    """

    body: int
    against: int
    axis: ScrewAxis
    angle_degrees: Band
    path_degrees: Tensor

    @property
    def turns(self) -> bool:
        """True if frames differ by more than :data:`LEAST_TURN` and by more than the band."""
        return self.angle_degrees.reach > max(LEAST_TURN, self.angle_degrees.width)

    @property
    def single(self) -> bool:
        """True if turns about the axis explain most of the motion."""
        return self.axis.share >= LEAST_SHARE_OF_TURN


@dataclass(frozen=True)
class CloudMotion:
    """Motion of a cloud of N Gaussians in F frames and along a path of S states.

    All lengths are in Å, and positions (x, y, z) are from the centre of the box, voxel D // 2.
    Bands come from the posterior of the frames' latents; that the cloud itself is uncertain is not
    in them.

    Attributes:
        path_latents: latents of the path, ``(S, q)``. With q = 1 they are evenly spaced from the
            1st to the 99th percentile of the frames; else they are centres of groups of frames,
            along the first principal axis.
        path: positions along it, as in the volumes, ``(S, N, 3)``.
        weights: density of each Gaussian, ``(N,)``.
        bodies: the rigid bodies; the reference state is one of the path.
        travel: largest distance between two states of the path, with the heaviest body held still,
            ``(N,)``.
        displacement: mean distance of each of K bodies from where it is in the reference state,
            with the heaviest body held still, ``(F, K)``.
        hinges: one for every body but the heaviest.
        whole_degrees: largest turn of the heaviest body between two states. It should be small:
            such a turn of everything belongs to the poses.
        least: misfit that does not matter.

    Example:
        >>> motion = tm.find_motion(tm.load_run("cloud-run"))
        >>> motion.path.shape, motion.body_travel()
        (torch.Size([20, 2048, 3]), tensor([ 0.6, 32.0]))
    """

    path_latents: Tensor
    path: Tensor
    weights: Tensor
    bodies: RigidBodies
    travel: Tensor
    displacement: Band
    hinges: tuple[Hinge, ...]
    whole_degrees: float
    least: float

    @property
    def reference(self) -> Tensor:
        """Positions in the reference state, ``(N, 3)``."""
        return self.path[self.bodies.reference]

    @property
    def moves(self) -> bool:
        """True if some body moves by more than ``least``, and by more than its band."""
        if self.bodies.misfit[0] <= self.least:
            return False
        band = self.displacement
        reach = band.value.amax(0) - band.value.amin(0)
        width = (band.high - band.low).median(0).values
        return bool((reach > width.clamp(min=self.least)).any())

    def body_travel(self) -> Tensor:
        """Mean travel of the Gaussians of each body, ``(K,)``."""
        labels = self.bodies.labels
        weighed = [
            (self.weights[labels == k] @ self.travel[labels == k]) / self.weights[labels == k].sum()
            for k in range(len(self.bodies))
        ]
        return torch.stack(weighed)


def measure_motion(
    cloud: Moving,
    means: Tensor,
    covariance: Tensor | None,
    pixel_size_angstrom: float,
    *,
    states: int = 20,
    samples: int = 40,
    seed: int = 0,
    progress: Progress | None = None,
) -> CloudMotion:
    """Measure the motion of a cloud.

    Args:
        cloud: N Gaussians.
        means: posterior means of the latents of F frames, ``(F, q)``.
        covariance: posterior covariances, ``(F, q, q)``; None takes latents as certain.
        pixel_size_angstrom: edge of a voxel.
        states: number S of states of the path.
        samples: of the posterior of every frame.
        seed: of the samples.
        progress: called after every block of latents.
    """
    least = _LEAST_MISFIT * pixel_size_angstrom
    weights = cloud.weights.detach().double().cpu()
    path_latents, path, bodies = bodies_along(cloud, means, states, pixel_size_angstrom)
    ruler = _Ruler(path[bodies.reference], weights, bodies)
    still = bodies.motions[:, 0].inverse(path)
    travel = torch.stack([(still - state).norm(dim=-1) for state in still]).amax((0, 1))

    draws = _draws(means, covariance, samples, seed)
    motions, displaced = ruler.of(cloud, draws.flatten(0, 1), pixel_size_angstrom, progress)
    shape = (len(draws), len(means))
    displacement = _band(displaced.unflatten(0, shape))
    hinges = []
    for against, body in bodies_that_touch(bodies.labels, path[bodies.reference], bodies.share):
        relative = motions[:, against].inverse.after(motions[:, body])
        on_path = bodies.motions[:, against].inverse.after(bodies.motions[:, body])
        hinges.append(_hinge(body, against, relative, on_path, ruler, shape))
    whole = _largest_turn(bodies.motions[:, 0].rotations)
    return CloudMotion(
        path_latents, path, weights, bodies, travel, displacement, tuple(hinges), whole, least
    )


def find_motion(
    reconstruction: Reconstruction,
    *,
    states: int = 20,
    samples: int = 40,
    progress: Progress | None = None,
) -> CloudMotion:
    """Find what moves in a reconstruction with a cloud: bodies, hinges, displacements.

    Args:
        reconstruction: a run, or a fit in memory, of the generator ``cloud``.
        states: number of states along the path.
        samples: of the posterior of every frame's latents, for the bands.
        progress: called after every block of latents.

    Raises:
        TemporemError: the reconstruction has no cloud.

    Example:
        >>> motion = tm.find_motion(tm.load_run("cloud-run"))
        >>> [hinge.angle_degrees.reach for hinge in motion.hinges if hinge.turns]
        [86.1]
    """
    found: np.ndarray | None = getattr(reconstruction, "latent_covariance", None)
    return measure_motion(
        cloud_of(reconstruction),
        reconstruction.latent_means,
        None if found is None else torch.from_numpy(found),
        reconstruction.grid.pixel_size_angstrom,
        states=states,
        samples=samples,
        progress=progress,
    )


def cloud_of(reconstruction: Reconstruction) -> MovingCloud:
    """Take the cloud of a reconstruction.

    Raises:
        TemporemError: it has none.
    """
    generator = reconstruction.generator
    if not isinstance(generator, CloudVolumes):
        raise TemporemError(
            "the reconstruction has no cloud, so density does not move in it",
            expected="one of --generator cloud",
            hint="make one with temporem reconstruct DATASET -o RUN --method tempor "
            "--generator cloud",
        )
    return generator.cloud


def latents_along(means: Tensor, states: int) -> Tensor:
    """Choose latents ``(S, q)`` along the motion that frames ``(F, q)`` show.

    With one latent they are evenly spaced, else centres of groups of frames (k-means) in the order
    of the first principal axis.
    """
    means = means.detach().cpu()
    if means.shape[1] == 1:
        low, high = means[:, 0].quantile(torch.tensor(_ENDS).to(means)).tolist()
        return torch.linspace(low, high, states)[:, None]
    centres = torch.from_numpy(k_means(means.numpy(), states, starts=4).centres).to(means)
    first = torch.linalg.svd(means - means.mean(0), full_matrices=False).Vh[0]
    return centres[(centres @ first).argsort()]


def bodies_along(
    cloud: Moving, means: Tensor, states: int, pixel_size: float = 1.0
) -> tuple[Tensor, Tensor, RigidBodies]:
    """Find the rigid bodies of a cloud along the motion that frames ``(F, q)`` show.

    Returns:
        Latents of the path, ``(S, q)``; positions there, in units of which a voxel has
        ``pixel_size``, float64 ``(S, N, 3)`` on the CPU; and the bodies, whose reference is one of
        these states.
    """
    latents = latents_along(means, states)
    path, weights = _positions(cloud, latents, pixel_size), cloud.weights.detach().double().cpu()
    return latents, path, find_rigid_bodies(path, weights, _LEAST_MISFIT * pixel_size)


@dataclass(frozen=True)
class _Ruler:
    """Measures states of a cloud against a reference state."""

    reference: Tensor
    weights: Tensor
    bodies: RigidBodies

    def of(
        self, cloud: Moving, z: Tensor, pixel_size: float, progress: Progress | None
    ) -> tuple[RigidMotions, Tensor]:
        """Motions of the bodies ``(B, K, …)`` and mean displacements ``(B, K)`` at latents."""
        progress = progress or Progress()
        motions: list[RigidMotions] = []
        displaced: list[Tensor] = []
        for start in range(0, len(z), _BLOCK):
            states = _positions(cloud, z[start : start + _BLOCK], pixel_size)
            found = motions_of_bodies(
                self.reference, states, self.bodies.labels, self.bodies.core, len(self.bodies)
            )
            away = (found[:, 0].inverse(states) - self.reference).norm(dim=-1)
            motions.append(found)
            means = [self._mean(away, body) for body in range(len(self.bodies))]
            displaced.append(torch.stack(means, dim=1))
            done = min(start + _BLOCK, len(z))
            progress(done, len(z), f"{done} of {len(z)} states")
        return (
            RigidMotions(
                torch.cat([motion.rotations for motion in motions]),
                torch.cat([motion.shifts for motion in motions]),
            ),
            torch.cat(displaced),
        )

    def contact(self, one: int, other: int) -> Tensor:
        """The place where two bodies touch: mean of the quarter of points nearest to the other."""
        a, b = (self.reference[self.bodies.labels == body] for body in (one, other))
        near = torch.cdist(b, a).amin(1).argsort()[: max(1, len(b) // 4)]
        return b[near].mean(0)

    def _mean(self, values: Tensor, body: int) -> Tensor:
        its = self.bodies.labels == body
        return values[:, its] @ self.weights[its] / self.weights[its].sum()


def _hinge(
    body: int,
    against: int,
    relative: RigidMotions,
    on_path: RigidMotions,
    ruler: _Ruler,
    shape: tuple[int, int],
) -> Hinge:
    frames = relative[: shape[1]]  # those at the posterior means
    its = ruler.bodies.labels == body
    near = ruler.contact(against, body)
    axis = screw_axis(frames, ruler.reference[its], ruler.bodies.core[its], near)
    path = _unwrapped(axis.angles_of(on_path))
    if path[-1] < path[0]:
        axis, path = axis.reversed, -path
    middle = (path.amin() + path.amax()) / 2  # frames turn less than 180° from it
    angles = (axis.angles_of(relative) - middle + 180) % 360 - 180 + middle - path[0]
    return Hinge(body, against, axis, _band(angles.unflatten(0, shape)), path - path[0])


def _unwrapped(degrees: Tensor) -> Tensor:
    """Angles that rise and fall by less than 180° from each to the next."""
    return torch.from_numpy(np.unwrap(degrees.numpy(), period=360))


def _band(values: Tensor) -> Band:
    """Band of values ``(1 + samples, F, …)``, the first at the posterior mean."""
    if len(values) == 1:
        return Band(values[0], values[0], values[0])
    low, high = values[1:].quantile(torch.tensor(_BAND).to(values), dim=0)
    return Band(values[0], low, high)


def _draws(means: Tensor, covariance: Tensor | None, samples: int, seed: int) -> Tensor:
    """Posterior means and samples of latents, ``(1 + samples, F, q)``."""
    means = means.detach().cpu()
    if covariance is None:
        return means[None]
    random = torch.Generator().manual_seed(seed)
    values, vectors = torch.linalg.eigh(covariance.detach().cpu().to(means))
    root = vectors * values.clamp(min=0).sqrt()[:, None]
    noise = torch.randn(samples, *means.shape, generator=random, dtype=means.dtype)
    return torch.cat([means[None], means + (root @ noise[..., None])[..., 0]])


@torch.no_grad()
def _positions(cloud: Moving, z: Tensor, pixel_size: float) -> Tensor:
    """Positions in Å, float64, on the CPU."""
    z = z.to(cloud.weights.device, torch.float32)
    return pixel_size * cloud.positions(z).double().cpu()


def _largest_turn(rotations: Tensor) -> float:
    """Largest angle between two of some rotations, degrees."""
    cosines = torch.einsum("aij,bij->ab", rotations, rotations).sub(1).div(2)
    return float(np.degrees(np.arccos(cosines.clamp(-1, 1).amin().item())))
