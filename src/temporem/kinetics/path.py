"""A curve through the latents of a motion, and what frames say about the place on it.

A motion with one degree of freedom, such as a turn by a large angle, bends through several latents.
No single latent then follows it: the leading one may rise and fall again. The principal curve
(Hastie and Stuetzle 1989) does follow it. The first order of the frames along it is that of Isomap
(Tenenbaum et al. 2000). Distances count latents by how well images determine them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

_POINTS = 101
_KNOTS = 6
_ROUNDS = 8
_MOST = 1200  # frames from which the first order comes
_NEIGHBOURS = 25
_TRIM = 0.005  # frames beyond either end of the path
_BEYOND = 0.3  # of its length, by which it goes on straight
_STRAIGHT = 5  # points from which the direction at an end comes


@dataclass(frozen=True, eq=False)
class LatentPath:
    """A curve through latents.

    Attributes:
        places: progress along the curve, even in lengths of the metric, ``(K,)``. 99 % of the
            frames are between 0 and 1; beyond, the curve goes on straight.
        latents: of the places, ``(K, q)``.
    """

    places: np.ndarray
    latents: np.ndarray

    def measure(self, information: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find what frames alone say about the place s on the path, as Gaussians.

        The likelihood at every place is ``exp(hᵀz − ½ zᵀJz)``. Its mean and variance under a broad
        prior on the path make a Gaussian. Then the prior is divided out again.

        Args:
            information: J, ``(N, q, q)``.
            score: h, ``(N, q)``.

        Returns:
            Information and score of s, ``(N,)`` each.
        """
        z, s = self.latents, self.places
        quadratic = np.einsum("kp,npq,kq->nk", z, information, z)
        log_likelihood = score @ z.T - 0.5 * quadratic
        middle, variance = 0.5, 1.0 / 3.0
        log_weight = log_likelihood - 0.5 * (s - middle) ** 2 / variance
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        mean = weight @ s
        spread = np.maximum(weight @ s**2 - mean**2, (s[1] - s[0]) ** 2 / 12)
        flat = np.exp(-0.5 * (s - middle) ** 2 / variance)
        prior = 1 / np.average((s - middle) ** 2, weights=flat)
        found = np.maximum(1 / spread - prior, 0.0)
        return found, np.where(found > 0, mean / spread - prior * middle, 0.0)


def principal_path(latents: np.ndarray, information: np.ndarray, seed: int = 0) -> LatentPath:
    """Draw the principal curve through latents.

    Args:
        latents: smoothed posterior means, ``(N, q)``.
        information: mean information of a frame, the metric, ``(q, q)``.
        seed: of the choice of frames for the first order.
    """
    from sklearn.manifold import Isomap

    values, vectors = np.linalg.eigh(information)
    root = vectors * np.sqrt(np.clip(values, 1e-6 * values[-1], None))
    points = latents @ root
    chosen = np.random.default_rng(seed).permutation(len(points))[:_MOST]
    some = points[chosen]
    neighbours = min(_NEIGHBOURS, len(some) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clusters apart, which it joins by their nearest frames
        order = Isomap(n_neighbors=neighbours, n_components=1).fit_transform(some)[:, 0]
    place = np.argsort(np.argsort(order)) / (len(order) - 1)
    for _ in range(_ROUNDS):
        curve = _curve(some, place)
        place = _nearest(curve, some)
    ends = np.quantile(place, (_TRIM, 1 - _TRIM))
    kept = np.linspace(0, 1, len(curve))
    curve = _even(curve[(kept >= ends[0]) & (kept <= ends[1])])
    places, curve = _extended(curve)
    found = np.linalg.solve(root.T, curve.T).T
    if np.corrcoef(found[:, 0], np.arange(len(found)))[0, 1] < 0:
        found, places = found[::-1], 1 - places[::-1]
    return LatentPath(places, np.ascontiguousarray(found))


def _extended(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Continue a curve straight beyond both ends; its places and points."""
    step = 1 / (len(curve) - 1)
    beyond = np.arange(1, round(_BEYOND / step) + 1)[:, None]
    first = (curve[_STRAIGHT] - curve[0]) / _STRAIGHT
    last = (curve[-1] - curve[-1 - _STRAIGHT]) / _STRAIGHT
    before, after = curve[0] - beyond[::-1] * first, curve[-1] + beyond * last
    number = len(beyond)
    places = step * np.arange(-number, len(curve) + number)
    return places, np.concatenate([before, curve, after])


def _curve(points: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Regress points on their places with splines; evenly spaced points of the curve."""
    knots = np.linspace(0, 1, min(_KNOTS, max(2, len(points) // 20)))
    basis = CubicSpline(knots, np.eye(len(knots)), bc_type="natural")
    matrix = basis(place)
    smooth = matrix.T @ matrix + 1e-6 * len(points) * np.eye(len(knots))
    values = np.linalg.solve(smooth, matrix.T @ points)
    return _even(basis(np.linspace(0, 1, 4 * _POINTS)) @ values)


def _even(curve: np.ndarray) -> np.ndarray:
    """The curve at ``_POINTS`` places of equal distance."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    places = np.linspace(0, length[-1], _POINTS)
    return np.stack([np.interp(places, length, column) for column in curve.T], axis=1)


def _nearest(curve: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Place of the nearest point of the curve, 0 to 1."""
    distance = np.square(points[:, None] - curve[None]).sum(-1)
    found: np.ndarray = distance.argmin(1) / (len(curve) - 1)
    return found
