"""Rigid bodies in a cloud of points that moves: which points keep their places to one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from temporem.physics.screw_axis import RigidMotions, fit_rigid_motions

LEAST_GAIN = 0.1
"""Another body must explain this part of the mean square motion."""
LEAST_SHARE = 0.02
"""A body holds at least this part of the density."""
MOST_BODIES = 8
"""More are not looked for."""
_SEEDS = 48  # places that are tried for another body
_SEED_POINTS = 24
_NEIGHBOURS = 12  # whose misfit decides with a point's own which body it belongs to
_ROUNDS = 30
_ROUNDS_OF_CORE = 8


@dataclass(frozen=True)
class RigidBodies:
    """Points of a cloud as K rigid bodies, the heaviest first.

    Attributes:
        labels: body of every point, int64 ``(N,)``.
        motions: of the bodies from the reference state to S states, ``(S, K, …)``.
        reference: index of the reference state.
        core: weights of the points in the motion of their body, ``(N,)``. Points that do not move
            with it, as where a body bends, count little.
        share: part of the weight that each body holds, ``(K,)``.
        misfit: root mean square distance of points from where 1, 2, … K bodies put them, in units
            of the points, ``(K,)``.
    """

    labels: Tensor
    motions: RigidMotions
    reference: int
    core: Tensor
    share: Tensor
    misfit: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.misfit)


def find_rigid_bodies(states: Tensor, weights: Tensor, least: float) -> RigidBodies:
    """Divide a moving cloud into rigid bodies.

    The cloud is one body at first. Another is added where the misfit is largest: seeds of nearby
    points are tried, and the one that explains most grows, points and motions by turns, as in
    Lloyd's algorithm. A body is kept if it explains :data:`LEAST_GAIN` of the mean square motion
    that one body leaves and holds :data:`LEAST_SHARE` of the weight. It ends when the misfit is
    below ``least``. So a cloud that is still, or that turns as a whole, is one body.

    Args:
        states: positions of N points in S states, ``(S, N, 3)``.
        weights: of the points, ``(N,)``.
        least: misfit that does not matter, in units of the points.
    """
    states, share = states.double(), (weights / weights.sum()).double()
    reference = _middle(states, share)
    near = _neighbours(states[reference])
    labels = torch.zeros(states.shape[1], dtype=torch.long)
    misses = _misses(states, reference, labels, share, 1)
    misfit = [float(share @ misses[0])]
    while len(misfit) < MOST_BODIES and misfit[-1] > least**2:
        grown = _with_another(states, reference, share, labels, misses, near)
        if grown is None:
            break
        found, missed = grown
        total = float(share @ missed.gather(0, found[None])[0])
        if misfit[-1] - total < LEAST_GAIN * misfit[0]:
            break
        labels, misses = found, missed
        misfit.append(total)
    labels = _heaviest_first(labels, share, len(misfit))
    held = torch.stack([share[labels == body].sum() for body in range(len(misfit))])
    core = _core(states, reference, labels, share, len(misfit), least)
    motions = motions_of_bodies(states[reference], states, labels, core, len(misfit))
    return RigidBodies(labels, motions, reference, core, held, tuple(m**0.5 for m in misfit))


def motions_of_bodies(
    reference: Tensor, states: Tensor, labels: Tensor, weights: Tensor, bodies: int
) -> RigidMotions:
    """Fit the motions of K bodies from their reference to S states, ``(S, K, …)``.

    Args:
        reference: points in the reference state, ``(N, 3)``.
        states: points in the states, ``(S, N, 3)``.
        labels: body of every point, ``(N,)``.
        weights: of the points in the motion of their body, ``(N,)``.
        bodies: their number K.
    """
    found = []
    for body in range(bodies):
        its = labels == body
        found.append(fit_rigid_motions(reference[its], states[:, its], weights[its]))
    return RigidMotions(
        torch.stack([motion.rotations for motion in found], dim=1),
        torch.stack([motion.shifts for motion in found], dim=1),
    )


def bodies_that_touch(labels: Tensor, points: Tensor, share: Tensor) -> list[tuple[int, int]]:
    """Pair every body but the first with the heavier one that it touches most.

    Args:
        labels: body of every point, ``(N,)``.
        points: ``(N, 3)``.
        share: part of the weight that each body holds, ``(K,)``, the largest first.

    Returns:
        Pairs (heavier body, body). A body that touches no heavier one is paired with the first.
    """
    near = _neighbours(points)
    pairs = []
    for body in range(1, len(share)):
        beside = labels[near[labels == body]].flatten()
        counts = torch.bincount(beside, minlength=len(share))[:body]
        pairs.append((int(counts.argmax()) if counts.any() else 0, body))
    return pairs


def _middle(states: Tensor, share: Tensor) -> int:
    """Find the state that is nearest to all others."""
    scaled = (states * share.sqrt()[:, None]).flatten(1)
    return int(torch.cdist(scaled, scaled).square().sum(1).argmin())


def _neighbours(points: Tensor) -> Tensor:
    """Indices of the nearest points of each, itself among them: ``(N, n)``."""
    tree = cKDTree(points.numpy())
    return torch.from_numpy(tree.query(points.numpy(), min(_NEIGHBOURS, len(points)))[1])


def _misses(states: Tensor, reference: int, labels: Tensor, share: Tensor, bodies: int) -> Tensor:
    """Mean square distance of every point from where every body would put it, ``(K, N)``."""
    motions = motions_of_bodies(states[reference], states, labels, share, bodies)
    return _missed(states, states[reference], motions)


def _missed(states: Tensor, points: Tensor, motions: RigidMotions) -> Tensor:
    return torch.stack(
        [
            (motions[:, body](points) - states).square().sum(-1).mean(0)
            for body in range(motions.shifts.shape[1])
        ]
    )


def _core(
    states: Tensor, reference: int, labels: Tensor, share: Tensor, bodies: int, least: float
) -> Tensor:
    """Weigh points down that do not follow their body (iteratively, as Geman and McClure 1985)."""
    core = share
    for _ in range(_ROUNDS_OF_CORE):
        misses = _misses(states, reference, labels, core, bodies)
        own = misses.gather(0, labels[None])[0]
        scale = torch.stack([own[labels == body].median() for body in range(bodies)])
        scale = (4 * scale).clamp(min=least**2)[labels]
        core = share / (1 + own / scale).square()
    return core


def _with_another(
    states: Tensor,
    reference: int,
    share: Tensor,
    labels: Tensor,
    misses: Tensor,
    near: Tensor,
) -> tuple[Tensor, Tensor] | None:
    """Add the body that explains most; None if it does not hold enough."""
    own = misses.gather(0, labels[None])[0]
    seed = _best_seed(states, reference, share, own)
    n = len(misses) + 1
    misses = torch.cat([misses, seed[None]])
    labels = _assigned(misses, near)
    for _ in range(_ROUNDS):
        if min(_held(labels, share, n)) < LEAST_SHARE:
            return None
        misses = _misses(states, reference, labels, share, n)
        before, labels = labels, _assigned(misses, near)
        if labels.equal(before):
            break
    return None if min(_held(labels, share, n)) < LEAST_SHARE else (labels, misses)


def _best_seed(states: Tensor, reference: int, share: Tensor, own: Tensor) -> Tensor:
    """Misses ``(N,)`` of the seed that explains most; own are those of the bodies so far."""
    points = states[reference]
    random = np.random.default_rng(0)
    odds = (share * own).numpy()
    chosen = random.choice(len(points), _SEEDS, p=odds / odds.sum())
    tree = cKDTree(points.numpy())
    best, gain = own, -1.0
    for groups in tree.query(points.numpy()[chosen], min(_SEED_POINTS, len(points)))[1]:
        group = torch.from_numpy(groups)
        motion = fit_rigid_motions(points[group], states[:, group], share[group])
        missed = (motion(points) - states).square().sum(-1).mean(0)
        gained = float(share @ (own - missed).clamp(min=0))
        if gained > gain:
            best, gain = missed, gained
    return best


def _assigned(misses: Tensor, near: Tensor) -> Tensor:
    """Give each point to the body that misses it and its neighbours least."""
    return misses[:, near].mean(-1).argmin(0)


def _held(labels: Tensor, share: Tensor, n: int) -> list[float]:
    return [float(share[labels == body].sum()) for body in range(n)]


def _heaviest_first(labels: Tensor, share: Tensor, n: int) -> Tensor:
    order = np.argsort(_held(labels, share, n))[::-1]
    rank = torch.empty(n, dtype=torch.long)
    rank[torch.from_numpy(order.copy())] = torch.arange(n)
    return rank[labels]
