"""Coverage of the intervals that the posteriors of latents give for the true parameters.

Latents are defined up to a smooth map from the true parameters, f. A posterior that is right has
``E[f(p) − m | m] = 0`` for its mean m and its covariance about it. Least squares of m on p would
miss f, because means are shrunk towards the prior. So f solves the moments
``E[φ(m) (f(p) − m)] = 0`` with functions φ of m as instruments (two-stage least squares; Newey and
Powell 2003). Errors are then measured between latents, where posteriors are about Gaussian, and
carried to the parameters by the slope of f.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.stats import norm
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from temporem.evaluation.case import Case
from temporem.evaluation.evaluation import Arrays
from temporem.evaluation.metrics.latents import folds_of, smooth_features
from temporem.evaluation.metrics.metric import Metric, Ready, Score
from temporem.evaluation.principal_axes import axes_of
from temporem.evaluation.sample import Sample, Statistic
from temporem.evaluation.words import parameter_unit, parameter_words

LEVELS = (50, 90)
"""Nominal coverage of the intervals, percent."""

_LEAST_FRAMES = 100
_DEVIATION = "deviation"
_DEGREE = 5
_BENDING = 1e-4  # penalty of a bend; chosen so that exact posteriors read 50 and 90 %
_SMOOTHING = 1e-3
_STEP = 5e-3  # of a parameter's range, for slopes


class Coverage(Metric):
    """Fraction of frames whose true parameter is in its interval; a place is a parameter."""

    name = "coverage"
    title = "Coverage of intervals"
    scores = (
        *(
            Score(
                f"inside_{level}",
                f"Coverage of {level} % intervals",
                f"Fraction of frames whose error is at most {norm.ppf(0.5 + level / 200):.3f} s: "
                "that of the parameter which explains the posterior mean m of the latents best, "
                "with f(p), the latents of a parameter, fitted to other movies. Its variance is "
                "s² = 1 / (f′ᵀ C⁻¹ f′), with the posterior covariance C. "
                f"{level} % if posteriors are right.",
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
            "1 / √(mean over frames of 1/s²), in the unit of the parameter.",
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
        values = np.asarray(parameters, dtype=np.float64)
        varied = np.ptp(values, axis=0) > 0
        names = [name for name, kept in zip(known.parameter_names, varied, strict=True) if kept]
        if not names:
            return None
        error, spread = parameter_errors(points, turned, movie, values[:, varied])
        columns = zip(names, error.T, spread.T, strict=True)
        return Ready({name: {"error": e, "spread": s} for name, e, s in columns})

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Fractions of the frames, and the posterior deviation."""
        ratio = np.abs(arrays["error"]) / np.maximum(arrays["spread"], 1e-30)
        inside = {
            f"inside_{level}": sample.mean(ratio <= norm.ppf(0.5 + level / 200)) for level in LEVELS
        }
        information = sample.mean(np.maximum(arrays["spread"].astype(np.float64), 1e-30) ** -2)
        return {**inside, _DEVIATION: Statistic(information.value**-0.5)}

    def words(self, place: str) -> str:
        """Name of the parameter."""
        return parameter_words(place)

    def unit(self, score: Score, place: str) -> str:
        """The deviation has the unit of the parameter."""
        return parameter_unit(place) if score.name == _DEVIATION else score.unit


COVERAGE = Coverage()


def parameter_errors(
    latents: np.ndarray, covariance: np.ndarray, movie: np.ndarray, parameters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute errors of parameters, and the deviations that posteriors give them.

    Args:
        latents: posterior means m, ``(n, q)``.
        covariance: C, ``(n, q, q)``.
        movie: movie of every frame, ``(n,)``, of which :func:`folds_of` makes folds.
        parameters: true values p, none of them constant, ``(n, k)``.

    Returns:
        ``δ = (FᵀC⁻¹F)⁻¹ FᵀC⁻¹ (f(p) − m)`` with the slope F of f, and the root of the diagonal of
        ``(FᵀC⁻¹F)⁻¹``; both ``(n, k)``.
    """
    error, spread = np.empty_like(parameters), np.empty_like(parameters)
    folds = folds_of(movie)
    assert folds is not None
    for seen, unseen in folds.split(latents, groups=movie):
        curve = ParameterCurve.fit(parameters[seen], latents[seen])
        true = parameters[unseen]
        slope = curve.slope(true)
        weighted = np.linalg.solve(covariance[unseen] + _jitter(covariance[unseen]), slope)
        variance = np.linalg.pinv(np.einsum("nqk,nql->nkl", weighted, slope), hermitian=True)
        score = np.einsum("nqk,nq->nk", weighted, curve(true) - latents[unseen])
        error[unseen] = np.einsum("nkl,nl->nk", variance, score)
        spread[unseen] = np.sqrt(np.einsum("nkk->nk", variance).clip(min=0))
    return error, spread


@dataclass(frozen=True)
class ParameterCurve:
    """Latents of a true parameter: polynomials of it whose bends are penalised.

    Attributes:
        least, most: range of the parameters it was fitted to, ``(k,)``.
        weights: ``(1 + 5 k, q)``.
    """

    least: np.ndarray
    most: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, parameters: np.ndarray, latents: np.ndarray) -> ParameterCurve:
        """Fit to parameters ``(n, k)`` and posterior means of latents ``(n, q)``."""
        curve = cls(parameters.min(0), parameters.max(0), np.zeros(0))
        terms = curve._terms(parameters)
        smooth = make_pipeline(smooth_features(), Ridge(_SMOOTHING * len(latents)))
        expected = smooth.fit(latents, terms).predict(latents)  # E[terms | m]
        n_orders = np.tile(np.arange(1.0, _DEGREE + 1), parameters.shape[1])
        bends = np.concatenate([[0.0], (n_orders * (n_orders - 1)) ** 2])
        normal = expected.T @ expected / len(latents) + np.diag(_BENDING * bends + 1e-9)
        weights = np.linalg.solve(normal, expected.T @ latents / len(latents))
        return replace(curve, weights=weights)

    def __call__(self, parameters: np.ndarray) -> np.ndarray:
        """Compute the latents of parameters ``(n, k)``: ``(n, q)``."""
        return self._terms(parameters) @ self.weights

    def slope(self, parameters: np.ndarray) -> np.ndarray:
        """Differentiate the latents by the parameters: ``(n, q, k)``."""
        steps = _STEP * np.diag(self.most - self.least)
        columns = [
            (self(parameters + step) - self(parameters - step)) / (2 * step.max()) for step in steps
        ]
        return np.stack(columns, axis=2)

    def _terms(self, parameters: np.ndarray) -> np.ndarray:
        """Evaluate 1, and Legendre polynomials of every parameter, scaled to −1 to 1."""
        x = 2 * (parameters - self.least) / np.maximum(self.most - self.least, 1e-30) - 1
        powers = np.polynomial.legendre.legvander(x, _DEGREE)[..., 1:]
        return np.concatenate([np.ones((len(x), 1)), powers.reshape(len(x), -1)], axis=1)


def _jitter(covariance: np.ndarray) -> np.ndarray:
    """A millionth of the mean variance, for latents that are known exactly."""
    scale = 1e-6 * np.einsum("nqq->n", covariance) / covariance.shape[1] + 1e-30
    return scale[:, None, None] * np.eye(covariance.shape[1])
