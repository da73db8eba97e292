"""How latent coordinates agree with the true conformational parameters and states.

A latent space is defined up to a smooth invertible map, so agreement is that of the best smooth
regression from latent to parameter, always predicted for movies that the regression has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

from temporem.evaluation.states import are_states

FOLDS = 5
"""Cross-validation folds, whole movies each."""

SPLINE_KNOTS = 6
"""Knots of the cubic spline along every principal axis."""

NEIGHBOURS = 5
"""Neighbours that vote on a frame's state."""

SILHOUETTE_FRAMES = 5000
"""The silhouette, quadratic in frames, uses at most this many, drawn with a fixed seed."""

OVERLAP_FRAMES = 5000
"""The neighbourhood overlap is that of at most this many frames, drawn with a fixed seed."""

DEFINITIONS = {
    "r2": (
        f"cross-validated over movies ({FOLDS} folds); ridge regression on cubic splines "
        f"({SPLINE_KNOTS} knots) of the latent's principal axes and their pairwise products"
    ),
    "r2_linear": f"cross-validated over movies ({FOLDS} folds), linear regression",
    "trajectory_rmse": "root mean square error of the regression of r2, in the parameter's unit",
    "abs_spearman": "of the principal axis of the latents with the greatest value (spearman_axis)",
    "silhouette": f"Euclidean, of at most {SILHOUETTE_FRAMES} frames drawn with a fixed seed",
    "knn_accuracy": f"majority of {NEIGHBOURS} nearest frames of other movies",
    "neighbourhood_overlap": (
        "share of a frame's k nearest frames of other movies that are in its state, k the number "
        f"of such frames; at most {OVERLAP_FRAMES} frames drawn with a fixed seed"
    ),
}

_FRAMES_AT_ONCE = 500  # whose distances to all others are in memory


@dataclass(frozen=True)
class ParameterAgreement:
    """Agreement of latents with one true parameter.

    Attributes:
        r2: of the smooth regression; at most 1, below 0 when worse than the mean. This and the next
            two are NaN where all movies but the longest have one frame together.
        r2_linear: of the linear regression.
        trajectory_rmse: error of the smooth regression, in the parameter's unit.
        abs_spearman: greatest ``|Spearman ρ|`` of a principal axis with the parameter.
        spearman_axis: that axis, counted from 1.
    """

    r2: float
    r2_linear: float
    trajectory_rmse: float
    abs_spearman: float
    spearman_axis: int


@dataclass(frozen=True)
class StateAgreement:
    """Agreement of latents with discrete true states.

    Attributes:
        n_states: number of states.
        silhouette: −1 … 1; NaN where the frames drawn for it are of one state.
        knn_accuracy: fraction of frames whose neighbours in other movies name its state.
        chance: fraction of frames in the most frequent state.
        neighbourhood_overlap: mean over frames of ``|L ∩ S| / k``, S the k frames of other movies
            in the frame's true state, L the k nearest of other movies; NaN where all S are empty.
        neighbourhood_chance: what neighbours drawn at random would give.
    """

    n_states: int
    silhouette: float
    knn_accuracy: float
    chance: float
    neighbourhood_overlap: float
    neighbourhood_chance: float


@dataclass(frozen=True)
class LatentAgreement:
    """Agreement of latents with what is known of the truth.

    Attributes:
        dimensions: q.
        parameters: by parameter name, those that vary.
        states: None when unknown, when there is only one or when every frame has its own.
    """

    dimensions: int
    parameters: dict[str, ParameterAgreement]
    states: StateAgreement | None


def latent_agreement(
    latents: np.ndarray,
    movie: np.ndarray,
    parameters: np.ndarray | None = None,
    parameter_names: Sequence[str] = (),
    states: np.ndarray | None = None,
) -> LatentAgreement:
    """Compare latents with true parameters and states.

    Args:
        latents: ``(n, q)``.
        movie: movie of every frame, ``(n,)``; at least two distinct.
        parameters: ``(n, p)`` named by ``parameter_names``.
        parameter_names: p names.
        states: integer labels ``(n,)``.
    """
    axes = principal_axes(latents)
    columns = [] if parameters is None else list(np.asarray(parameters, dtype=np.float64).T)
    return LatentAgreement(
        latents.shape[1],
        {
            name: parameter_agreement(axes, movie, column)
            for name, column in zip(parameter_names, columns, strict=True)
            if np.ptp(column) > 0
        },
        state_agreement(latents, movie, states)
        if states is not None and are_states(states)
        else None,
    )


def principal_axes(latents: np.ndarray) -> np.ndarray:
    """Latents in the axes of their own PCA, without those that do not vary: ``(n, ≤ q)``."""
    centred = np.asarray(latents, dtype=np.float64) - np.mean(latents, axis=0)
    _, spread, rows = np.linalg.svd(centred, full_matrices=False)
    varies = spread > 1e-6 * max(spread.max(initial=0.0), np.abs(latents).max(initial=0.0))
    return centred @ rows[varies].T


def parameter_agreement(
    axes: np.ndarray, movie: np.ndarray, parameter: np.ndarray
) -> ParameterAgreement:
    """Agreement of principal axes ``(n, q)`` with a parameter ``(n,)``."""
    smooth = make_pipeline(
        make_union(
            SplineTransformer(SPLINE_KNOTS, knots="quantile", extrapolation="linear"),
            PolynomialFeatures(2, include_bias=False),
        ),
        StandardScaler(),
        RidgeCV(np.logspace(-6, 3, 19)),
    )
    predicted = _predict_unseen(smooth, axes, movie, parameter)
    linear = _predict_unseen(LinearRegression(), axes, movie, parameter)
    rank = np.abs([spearmanr(axis, parameter).statistic for axis in axes.T] or [0.0])
    return ParameterAgreement(
        r2=_r_squared(predicted, parameter),
        r2_linear=_r_squared(linear, parameter),
        trajectory_rmse=float(np.sqrt(np.square(predicted - parameter).mean())),
        abs_spearman=float(rank.max()),
        spearman_axis=int(rank.argmax()) + 1,
    )


def state_agreement(latents: np.ndarray, movie: np.ndarray, states: np.ndarray) -> StateAgreement:
    """Agreement of latents ``(n, q)`` with at least two states ``(n,)``."""
    labels, states = np.unique(states, return_inverse=True)
    # Not every tenth frame: with movies of ten frames that would be one state.
    few = np.random.default_rng(0).permutation(len(states))[:SILHOUETTE_FRAMES]
    several = len(np.unique(states[few])) > 1  # else a state so rare that no frame of it was drawn
    votes = _neighbour_votes(latents, movie, states)
    # The nearest of the states that tie: argmax takes the first.
    agreeing = (votes[:, :, None] == votes[:, None, :]).sum(-1)
    winner = np.take_along_axis(votes, agreeing.argmax(1)[:, None], 1)[:, 0]
    overlap, by_chance = neighbourhood_overlap(latents, movie, states)
    return StateAgreement(
        n_states=len(labels),
        silhouette=float(silhouette_score(latents[few], states[few])) if several else math.nan,
        knn_accuracy=float((winner == states).mean()),
        chance=float(np.bincount(states).max() / len(states)),
        neighbourhood_overlap=overlap,
        neighbourhood_chance=by_chance,
    )


def neighbourhood_overlap(
    latents: np.ndarray, movie: np.ndarray, states: np.ndarray
) -> tuple[float, float]:
    """Mean share of nearest frames in the frame's own state, and that of frames drawn at random.

    A frame of state s has as many neighbours as there are frames in s in other movies, so that it
    is 1 where every state is a cluster of its own. Frames that no other movie shares a state with
    have none and are left out.

    Args:
        latents: ``(n, q)``.
        movie: movie of every frame, ``(n,)``.
        states: integer labels ``(n,)``.
    """
    chosen = np.random.default_rng(0).permutation(len(states))[:OVERLAP_FRAMES]
    shares, chances = [], []
    for rows in np.array_split(chosen, -(-len(chosen) // _FRAMES_AT_ONCE)):
        other = movie[rows, None] != movie
        same = other & (states[rows, None] == states)
        distance = np.where(other, cdist(latents[rows], latents), np.inf)
        nearest = np.take_along_axis(same, distance.argsort(axis=1, kind="stable"), 1)
        k = same.sum(1)
        found = np.cumsum(nearest, axis=1)[np.arange(len(rows)), np.maximum(k, 1) - 1]
        shares.append(found[k > 0] / k[k > 0])
        chances.append(k[k > 0] / other.sum(1)[k > 0])
    share = np.concatenate(shares)
    if not len(share):
        return float("nan"), float("nan")
    return float(share.mean()), float(np.concatenate(chances).mean())


def _predict_unseen(
    model: object, axes: np.ndarray, movie: np.ndarray, parameter: np.ndarray
) -> np.ndarray:
    """Predictions for every frame by a regression fitted to other movies, ``(n,)``."""
    if axes.shape[1] == 0:  # the latents are constant: all they can predict is the mean
        return np.full(len(parameter), parameter.mean())
    sizes = np.unique(movie, return_counts=True)[1]
    if len(movie) - sizes.max() < 2:  # splines need two frames
        return np.full(len(parameter), np.nan)
    folds = GroupKFold(min(FOLDS, len(sizes)))
    return cross_val_predict(model, axes, parameter, groups=movie, cv=folds)


def _r_squared(predicted: np.ndarray, truth: np.ndarray) -> float:
    residual = np.square(truth - predicted).sum()
    return float(1 - residual / np.square(truth - truth.mean()).sum())


def _neighbour_votes(latents: np.ndarray, movie: np.ndarray, states: np.ndarray) -> np.ndarray:
    """States of the nearest frames of other movies, nearest first: ``(n, NEIGHBOURS)``."""
    _, movie, lengths = np.unique(movie, return_inverse=True, return_counts=True)
    others = len(movie) - int(lengths.max())
    reach = min(len(movie), NEIGHBOURS + int(lengths.max()))
    nearest = NearestNeighbors(n_neighbors=reach).fit(latents)
    index = nearest.kneighbors(latents, return_distance=False)
    own = movie[index] == movie[:, None]
    order = np.argsort(own, axis=1, kind="stable")[:, : min(NEIGHBOURS, others)]
    return states[np.take_along_axis(index, order, 1)]
