"""Agreement of latents with the true parameters of the motion.

A latent space is defined up to a smooth invertible map, so agreement is that of the best smooth
regression from latent to parameter, always predicted for movies that the regression has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

from temporem.evaluation.case import Case
from temporem.evaluation.evaluation import Arrays
from temporem.evaluation.metrics.metric import ANY_PLACE, Metric, Ready, Score
from temporem.evaluation.principal_axes import principal_axes
from temporem.evaluation.sample import Sample, Statistic
from temporem.evaluation.words import parameter_unit, parameter_words

FOLDS = 5
"""Cross-validation folds, whole movies each."""

SPLINE_KNOTS = 6
"""Knots of the cubic spline along every principal axis."""

_ERROR = "trajectory_rmse"


class LatentsAndParameters(Metric):
    """Agreement of latents with each true parameter that varies; a place is a parameter."""

    name = "latents"
    title = "Latents and parameters"
    scores = (
        Score(
            "r2",
            "Latent R²",
            "1 − Σ(p̂ − p)² / Σ(p − p̄)², p the true parameter and p̂ its prediction for unseen "
            f"movies ({FOLDS} folds) by ridge regression on cubic splines ({SPLINE_KNOTS} knots) "
            "of the latents' principal axes and on products of two axes.",
            ranks={ANY_PLACE: 5},
            phrase="predicts the true {place} from its latents with R² {value}",
            noun="latent R² of the {place}",
        ),
        Score(
            "abs_spearman",
            "Latent |Spearman ρ|",
            "Greatest |Spearman ρ| of a principal axis of the latents with the parameter.",
        ),
        Score(
            _ERROR,
            "Trajectory error",
            "√(mean over frames of (p̂ − p)²) of the predictions of R², in the parameter's unit.",
            direction=-1,
            digits=2,
        ),
    )
    arrays: ClassVar = {
        "dimensions": ("iu",),
        "r2": ("f",),
        "r2_linear": ("f",),
        _ERROR: ("f",),
        "abs_spearman": ("f",),
        "spearman_axis": ("iu",),
    }
    of_frames = False

    def begin(self, case: Case) -> Ready | None:
        """Fit the regressions; None without latents or with one movie, which leaves none unseen."""
        latents, parameters = case.known.latents, case.known.parameters
        if latents is None or parameters is None or case.n_movies < 2:
            return None
        axes = principal_axes(latents)
        columns = zip(case.known.parameter_names, np.asarray(parameters).T, strict=True)
        dimensions = np.array(latents.shape[1])
        return Ready(
            {
                name: {"dimensions": dimensions}
                | parameter_agreement(axes, case.frames.movie, column.astype(np.float64))
                for name, column in columns
                if np.ptp(column) > 0
            }
        )

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """The numbers as they are: their spread over movies is not known."""
        return {score.name: Statistic(float(arrays[score.name])) for score in self.scores}

    def details(self, arrays: Arrays, sample: Sample) -> dict[str, Any]:
        """Dimensions of the latents, linear R², and the axis of Spearman's ρ, counted from 1."""
        return {
            "dimensions": int(arrays["dimensions"]),
            "r2_linear": float(arrays["r2_linear"]),
            "spearman_axis": int(arrays["spearman_axis"]),
        }

    def words(self, place: str) -> str:
        """Name of the parameter."""
        return parameter_words(place)

    def unit(self, score: Score, place: str) -> str:
        """The trajectory error has the unit of the parameter."""
        return parameter_unit(place) if score.name == _ERROR else ""


LATENTS = LatentsAndParameters()


def parameter_agreement(
    axes: np.ndarray, movie: np.ndarray, parameter: np.ndarray
) -> dict[str, np.ndarray]:
    """Agreement of principal axes ``(n, q)`` with a parameter ``(n,)``.

    R² and errors are NaN where all movies but the longest have one frame together.

    Returns:
        ``r2`` and ``trajectory_rmse`` of the smooth regression, ``r2_linear`` of the linear one,
        ``abs_spearman``, and ``spearman_axis``, the axis that has it, from 1.
    """
    predicted = predict_unseen(smooth_regression(), axes, movie, parameter)
    linear = predict_unseen(LinearRegression(), axes, movie, parameter)
    rank = np.abs([spearmanr(axis, parameter).statistic for axis in axes.T] or [0.0])
    return {
        "r2": _r_squared(predicted, parameter),
        "r2_linear": _r_squared(linear, parameter),
        _ERROR: np.sqrt(np.square(predicted - parameter).mean()),
        "abs_spearman": rank.max(),
        "spearman_axis": rank.argmax() + 1,
    }


def smooth_features() -> Pipeline:
    """Cubic splines of every axis, and products of two axes, of unit variance."""
    return make_pipeline(
        make_union(
            SplineTransformer(SPLINE_KNOTS, knots="quantile", extrapolation="linear"),
            PolynomialFeatures(2, include_bias=False),
        ),
        StandardScaler(),
    )


def smooth_regression() -> Pipeline:
    """Ridge regression on smooth features."""
    return make_pipeline(smooth_features(), RidgeCV(np.logspace(-6, 3, 19)))


def folds_of(movie: np.ndarray) -> GroupKFold | None:
    """Divide movies, given by frame ``(n,)``, into folds; None where too few frames are left."""
    sizes = np.unique(movie, return_counts=True)[1]
    if len(movie) - sizes.max() < 2:  # splines need two frames
        return None
    return GroupKFold(min(FOLDS, len(sizes)))


def predict_unseen(
    model: object, axes: np.ndarray, movie: np.ndarray, parameter: np.ndarray
) -> np.ndarray:
    """Predictions for every frame by a regression fitted to other movies, ``(n,)``."""
    if axes.shape[1] == 0:  # the latents are constant: all they can predict is the mean
        return np.full(len(parameter), parameter.mean())
    folds = folds_of(movie)
    if folds is None:
        return np.full(len(parameter), np.nan)
    return cross_val_predict(model, axes, parameter, groups=movie, cv=folds)


def _r_squared(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    residual = np.square(truth - predicted).sum()
    return 1 - residual / np.square(truth - truth.mean()).sum()
