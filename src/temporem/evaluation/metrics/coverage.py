"""Coverage of the intervals that the posteriors of latents give for the true parameters.

Latents are defined up to a smooth invertible map, which is fitted as for the agreement of latents
and parameters. Truth is regressed on posterior means and not means on truth: means are shrunk
towards the prior, and the mean of a parameter given a posterior mean has no such bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.stats import norm

from temporem.evaluation.case import Case
from temporem.evaluation.evaluation import Arrays
from temporem.evaluation.metrics.latents import folds_of, smooth_regression
from temporem.evaluation.metrics.metric import Metric, Ready, Score
from temporem.evaluation.principal_axes import axes_of
from temporem.evaluation.sample import Sample, Statistic
from temporem.evaluation.words import parameter_unit, parameter_words

LEVELS = (50, 90)
"""Nominal coverage of the intervals, percent."""

_LEAST_FRAMES = 100
_DEVIATION = "deviation"


class Coverage(Metric):
    """Fraction of frames whose true parameter is in its interval; a place is a parameter."""

    name = "coverage"
    title = "Coverage of intervals"
    scores = (
        *(
            Score(
                f"inside_{level}",
                f"Coverage of {level} % intervals",
                "Fraction of frames with |p − p̂| ≤ "
                f"{norm.ppf(0.5 + level / 200):.3f} s: p the true parameter, p̂ its prediction for "
                "unseen movies by the regression of latent R², and s² = Σ_j ¼ (p̂(m + L_j) − "
                f"p̂(m − L_j))² with posterior mean m and covariance Σ_j L_j L_jᵀ. {level} % if "
                "posteriors are right.",
                unit="%",
                direction=0,
                digits=0,
                factor=100,
            )
            for level in LEVELS
        ),
        Score(
            _DEVIATION,
            "Posterior deviation",
            "√(mean over frames of s²), in the unit of the parameter.",
            direction=0,
            digits=2,
        ),
    )
    arrays: ClassVar = {
        "error": ("f", "frames"),
        "spread": ("f", "frames"),
    }

    def begin(self, case: Case) -> Ready | None:
        """Fit the regressions; None without posteriors, or with few frames or movies."""
        known = case.known
        latents, covariance, parameters = known.latents, known.latent_covariance, known.parameters
        if latents is None or covariance is None or parameters is None:
            return None
        axes = axes_of(latents)
        movie = case.frames.movie
        if len(axes) == 0 or len(movie) < _LEAST_FRAMES or folds_of(movie) is None:
            return None
        points = (latents - latents.mean(0)).astype(np.float64) @ axes.T
        turned = axes @ covariance.astype(np.float64) @ axes.T
        columns = zip(known.parameter_names, np.asarray(parameters).T, strict=True)
        return Ready(
            {
                name: prediction_errors(points, turned, movie, column.astype(np.float64))
                for name, column in columns
                if np.ptp(column) > 0
            }
        )

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Fractions of the frames, and the posterior deviation."""
        ratio = np.abs(arrays["error"]) / np.maximum(arrays["spread"], 1e-30)
        inside = {
            f"inside_{level}": sample.mean(ratio <= norm.ppf(0.5 + level / 200)) for level in LEVELS
        }
        variance = sample.mean(arrays["spread"].astype(np.float64) ** 2)
        return {**inside, _DEVIATION: Statistic(variance.value**0.5)}

    def words(self, place: str) -> str:
        """Name of the parameter."""
        return parameter_words(place)

    def unit(self, score: Score, place: str) -> str:
        """The deviation has the unit of the parameter."""
        return parameter_unit(place) if score.name == _DEVIATION else score.unit


COVERAGE = Coverage()


def prediction_errors(
    latents: np.ndarray, covariance: np.ndarray, movie: np.ndarray, parameter: np.ndarray
) -> dict[str, Any]:
    """Errors of predicted parameters, and the deviations that posteriors give them, ``(n,)`` each.

    Args:
        latents: posterior means, ``(n, q)``.
        covariance: ``(n, q, q)``.
        movie: movie of every frame, ``(n,)``, of which :func:`folds_of` makes folds.
        parameter: true values, ``(n,)``.
    """
    values, vectors = np.linalg.eigh(covariance)
    steps = vectors * np.sqrt(values.clip(min=0))[:, None]  # columns L_j
    error, spread = np.empty(len(parameter)), np.empty(len(parameter))
    folds = folds_of(movie)
    assert folds is not None
    for seen, unseen in folds.split(latents, groups=movie):
        model = smooth_regression().fit(latents[seen], parameter[seen])
        mean, away = latents[unseen], steps[unseen]
        error[unseen] = parameter[unseen] - model.predict(mean)
        halves = [
            0.5 * (model.predict(mean + step) - model.predict(mean - step))
            for step in np.moveaxis(away, 2, 0)
        ]
        spread[unseen] = np.sqrt(np.square(halves).sum(0))
    return {"error": error, "spread": spread}
