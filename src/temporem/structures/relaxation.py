"""Points held by springs, signed volumes and repulsion, relaxed towards their least energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

_LISTED_BEYOND_ANGSTROM = 1.0  # margin of the list of near points, which is not renewed in a round


@dataclass(frozen=True)
class Springs:
    """``E = Σ k (|x_i − x_j| − l)²``.

    Attributes:
        pairs: points i and j, int ``(n, 2)``.
        lengths: l, Å, ``(n,)``.
        stiffness: k, ``(n,)``.
    """

    pairs: np.ndarray
    lengths: np.ndarray
    stiffness: np.ndarray


@dataclass(frozen=True)
class Volumes:
    """``E = k Σ (a·(b × c) − v)²`` with a, b, c from one point to three others.

    This keeps handedness, because distances cannot tell a molecule from its mirror image. It also
    keeps planes, ``v = 0``, which distances hold only weakly.

    Attributes:
        points: the point and the three others, int ``(n, 4)``.
        volumes: v, Å³, ``(n,)``.
        stiffness: k.
    """

    points: np.ndarray
    volumes: np.ndarray
    stiffness: float


@dataclass(frozen=True)
class Repulsion:
    """``E = k Σ min(|x_i − x_j| − l_ij, 0)²``, a force between points that come too near.

    The limit ``l_ij`` is the sum of two radii, or the distance of the pair in one of the given
    shapes, whichever is smallest.

    Attributes:
        radii: radius of every point, Å, ``(N,)``.
        shapes: conformations whose distances are all allowed, Å, ``(S, N, 3)``.
        exempt: pairs that do not repel each other, int ``(n, 2)``, first below second.
        stiffness: k.
    """

    radii: np.ndarray
    shapes: np.ndarray
    exempt: np.ndarray
    stiffness: float

    def springs(self, positions: np.ndarray) -> Springs:
        """Springs of the pairs that are near each other."""
        n, farthest = len(positions), 2 * self.radii.max() + _LISTED_BEYOND_ANGSTROM
        pairs = np.sort(cKDTree(positions).query_pairs(farthest, output_type="ndarray"), axis=1)
        code = pairs @ [n, 1]
        pairs = pairs[np.argsort(code)]  # sums in an order that does not depend on the tree
        pairs = pairs[~np.isin(pairs @ [n, 1], self.exempt @ [n, 1])]
        limits = [self.radii[pairs].sum(1), *(distances(shape, pairs) for shape in self.shapes)]
        return Springs(pairs, np.min(limits, axis=0), np.full(len(pairs), self.stiffness))


def distances(positions: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Distances, Å, ``(n,)``, of pairs ``(n, 2)`` of points ``(N, 3)``."""
    return np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)


def signed_volumes(positions: np.ndarray, points: np.ndarray) -> np.ndarray:
    """``a·(b × c)``, Å³, ``(n,)``, of a, b, c from the first to the other of ``points (n, 4)``."""
    a, b, c = (positions[points[:, i]] - positions[points[:, 0]] for i in (1, 2, 3))
    return np.einsum("ni,ni->n", a, np.cross(b, c))


def incidence(points: np.ndarray, n_points: int) -> csr_array:
    """Matrix ``(n·(m − 1), N)`` of differences: the first point of a row minus each other one.

    Args:
        points: rows of points, int ``(n, m)``; a pair has one difference.
        n_points: N.
    """
    others = points[:, 1:].ravel()
    firsts = np.repeat(points[:, 0], points.shape[1] - 1)
    rows = np.arange(len(others))
    values = np.repeat([1.0, -1.0], len(others))
    where = (np.tile(rows, 2), np.concatenate([firsts, others]))
    return csr_array((values, where), shape=(len(others), n_points))


def relax(
    positions: np.ndarray,
    springs: Springs,
    repulsion: Repulsion,
    *,
    volumes: Volumes | None = None,
    tether: float = 0.0,
    rounds: int,
    iterations: int,
) -> np.ndarray:
    """Move points ``(N, 3)`` towards the least energy (L-BFGS-B; Byrd and others, 1995).

    Args:
        positions: where they start, Å, ``(N, 3)``.
        springs: springs between points.
        repulsion: repulsion between near points, which are listed anew in each round.
        volumes: signed volumes to keep.
        tether: k of ``k Σ |x − start|²``.
        rounds: number of rounds.
        iterations: most iterations of the minimiser in each round.
    """
    n = len(positions)
    held: list[_Energy] = [_SpringEnergy(springs, n), _TetherEnergy(positions, tether)]
    if volumes is not None:
        held.append(_VolumeEnergy(volumes, n))
    for _ in range(rounds):
        repelled = _SpringEnergy(repulsion.springs(positions), n, only_push=True)
        positions = _descend([*held, repelled], positions, iterations)
    return positions


_Energy = Callable[[np.ndarray], tuple[float, np.ndarray]]  # and its gradient, of points (N, 3)


def _descend(energies: list[_Energy], positions: np.ndarray, iterations: int) -> np.ndarray:
    def total(flat: np.ndarray) -> tuple[float, np.ndarray]:
        points = flat.reshape(-1, 3)
        values, gradients = zip(*(energy(points) for energy in energies), strict=True)
        return float(sum(values)), np.sum(gradients, axis=0).ravel()

    options: Any = {"maxiter": iterations, "maxcor": 20, "maxfun": 2 * iterations}
    found: Any = minimize(total, positions.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(-1, 3)


class _TetherEnergy:
    def __init__(self, start: np.ndarray, stiffness: float) -> None:
        self.start, self.stiffness = start, stiffness

    def __call__(self, points: np.ndarray) -> tuple[float, np.ndarray]:
        off = points - self.start
        return self.stiffness * float((off * off).sum()), 2 * self.stiffness * off


class _SpringEnergy:
    def __init__(self, springs: Springs, n_points: int, *, only_push: bool = False) -> None:
        self.springs, self.only_push = springs, only_push
        self.difference = incidence(springs.pairs, n_points)
        self.back = self.difference.T.tocsr()

    def __call__(self, points: np.ndarray) -> tuple[float, np.ndarray]:
        between = self.difference @ points
        length = np.sqrt(np.einsum("ni,ni->n", between, between))
        off = length - self.springs.lengths
        if self.only_push:
            off = np.minimum(off, 0.0)
        pull = self.springs.stiffness * off
        slope = 2 * pull / np.maximum(length, 1e-6)
        return float(pull @ off), self.back @ (slope[:, None] * between)


class _VolumeEnergy:
    def __init__(self, volumes: Volumes, n_points: int) -> None:
        self.volumes = volumes
        self.difference = -incidence(volumes.points, n_points)
        self.back = self.difference.T.tocsr()

    def __call__(self, points: np.ndarray) -> tuple[float, np.ndarray]:
        sides = (self.difference @ points).reshape(-1, 3, 3)
        a, b, c = sides[:, 0], sides[:, 1], sides[:, 2]
        across = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
        off = np.einsum("ni,ni->n", a, across[:, 0]) - self.volumes.volumes
        k = self.volumes.stiffness
        gradient = (2 * k * off)[:, None, None] * across
        return float(k * (off @ off)), self.back @ gradient.reshape(-1, 3)
