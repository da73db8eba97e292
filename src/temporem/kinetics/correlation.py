"""Autocorrelation of x within movies, free of the noise of single frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from temporem.kinetics.measurements import Measurements

_MOST_LAGS = 12
_LEAST_PAIRS = 30


@dataclass(frozen=True, eq=False)
class LagSums:
    """Sums of products of frames by lag, movie by movie; lag 0 comes first.

    Attributes:
        lags: L times between frames, ``(L,)``.
        products: ``Σ w w' (x − x̄)(x' − x̄)``, at lag 0 less the variance of the noise, ``(M, L)``.
        weights: ``Σ w w'``, ``(M, L)``.
    """

    lags: np.ndarray
    products: np.ndarray
    weights: np.ndarray

    def correlation(self, times: np.ndarray) -> np.ndarray:
        """Autocorrelation ``C(lag) / C(0)`` with movies counted ``times (M,)``: ``(L,)``."""
        weights = times @ self.weights
        covariance = np.divide(
            times @ self.products, weights, out=np.full_like(weights, np.nan), where=weights > 0
        )
        found: np.ndarray = covariance / covariance[0] if covariance[0] > 0 else covariance * np.nan
        return found

    def timescales(self, correlation: np.ndarray) -> np.ndarray:
        """Implied timescale ``−lag / ln C(lag)`` of each lag but 0, NaN where C is not in 0 … 1."""
        inside = (correlation > 0) & (correlation < 1)
        found = np.full_like(correlation, np.nan)
        found[inside] = -self.lags[inside] / np.log(correlation[inside])
        return found[1:]


def lag_sums(measured: Measurements) -> LagSums:
    """Sum products of the frames of each movie.

    The noise of different frames is independent, so only lag 0 needs a correction. A frame weighs
    by ``w = 1 / (σ_x² + 1 / J)``. Lags are whole multiples of the median interval, up to half of
    the longest movie.
    """
    _, centre, deviation = measured.shrunk()
    seen = measured.information > 0
    noise = np.divide(1, measured.information, out=np.ones(len(seen)), where=seen)
    weight = np.where(seen, 1 / (deviation**2 + noise), 0.0)
    value = np.where(seen, measured.score * noise - centre, 0.0)
    unit = measured.interval
    n_lags = 1 + min(_MOST_LAGS, int(measured.longest / unit / 2 + 0.5))
    products, weights, pairs = (np.zeros((len(measured.movies), n_lags)) for _ in range(3))
    for index, rows in enumerate(measured.movies):
        lag = np.round(np.abs(np.subtract.outer(measured.times[rows], measured.times[rows])) / unit)
        both = np.outer(weight[rows], weight[rows])
        product = both * np.outer(value[rows], value[rows])
        np.fill_diagonal(product, weight[rows] ** 2 * (value[rows] ** 2 - noise[rows]))
        upper = np.triu(np.ones_like(both, dtype=bool)) & (lag < n_lags)
        # Frames nearer to each other than half an interval are neither one frame nor a lag.
        upper &= (lag > 0) | np.eye(len(rows), dtype=bool)
        which = lag[upper].astype(np.int64)
        for total, part in ((products, product), (weights, both), (pairs, both > 0)):
            total[index] += np.bincount(which, part[upper], n_lags)
    kept = pairs.sum(0) >= _LEAST_PAIRS
    kept[0] = True
    return LagSums(unit * np.arange(n_lags)[kept], products[:, kept], weights[:, kept])
