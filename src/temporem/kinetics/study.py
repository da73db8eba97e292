"""All kinetics of a coordinate, each number with an interval by resampling movies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from temporem.errors import TemporemError
from temporem.evaluation.resampling import BootstrapSettings, MovieBootstrap
from temporem.kinetics.correlation import lag_sums
from temporem.kinetics.facts import CLEAR, Basin, Curve, Estimate, KineticsFacts, Rate
from temporem.kinetics.jumps import (
    JumpFit,
    fit_jumps,
    n_parameters,
    resample_jumps,
    state_probabilities,
)
from temporem.kinetics.langevin import (
    Grid,
    LangevinFit,
    fit_density,
    fit_langevin,
    resample_density,
    resample_langevin,
    start_of,
)
from temporem.kinetics.measurements import Coordinate, Measurements
from temporem.progress import Progress

LEAST_MOVIES = 8
LEVEL = 0.9
"""Coverage of all intervals."""

_TRIED = 3  # numbers of basins that auto tries
_LEAST_JUMPS = 5.0
_WIDEST = 30.0  # ratio of the ends of an interval that still tells a rate
_AHEAD = 10  # intervals of a forecast
_MIXED = 20  # bootstrap samples in a forecast
_LEAST_DRIFT = 4.0  # standard errors


@dataclass(frozen=True, eq=False)
class Forecast:
    """Prediction of x after the last frame of every movie.

    Attributes:
        ahead: times after the last frame, ``(L,)``.
        mean: ``(M, L)``.
        low, high: ends of the band, ``(M, L)``.
    """

    ahead: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False)
class Kinetics:
    """Kinetics along a coordinate of the N frames of M movies.

    Attributes:
        facts: all numbers.
        measured: what frames say alone.
        jumps: the model of jumps between basins.
        diffusion: the model of diffusion in a potential.
        probabilities: of each basin in each frame, given the whole movie, ``(N, S)``.
        forecast: of x after the last frame of every movie.
        coordinate: the latents of x, if it comes from a run.
    """

    facts: KineticsFacts
    measured: Measurements
    jumps: JumpFit
    diffusion: LangevinFit
    probabilities: np.ndarray
    forecast: Forecast
    coordinate: Coordinate | None = None


def study(
    measured: Measurements,
    *,
    coordinate: Coordinate | None = None,
    states: int | Literal["auto"] = "auto",
    basins: list[float] | None = None,
    samples: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> Kinetics:
    """Estimate density, correlation, rates and diffusion, with intervals over movies.

    Args:
        measured: what frames say alone.
        coordinate: the latents of x, for tables.
        states: number of basins; ``auto`` takes that with the lowest BIC, up to 3.
        basins: centres with which the fit of the basins begins; they set the number of basins.
        samples: bootstrap samples.
        seed: of the samples.
        progress: receives the progress.

    Raises:
        TemporemError: fewer than eight movies of two frames or more, or no frame says anything.
    """
    _require(measured)
    progress = progress or Progress()
    progress(0, 1, "fitting models")
    grid = Grid.of(measured)
    n = int((measured.information > 0).sum())
    fits = {count: fit_jumps(measured, count, centres=basins) for count in _counts(states, basins)}
    bic = {
        count: n_parameters(count) * np.log(n) - 2 * fit.log_likelihood
        for count, fit in fits.items()
    }
    jumps = fits[min(bic, key=lambda count: bic[count])]
    knots = fit_density(measured, grid)
    diffusion = fit_langevin(measured, grid, start=start_of(knots))
    diffusion_bic = len(diffusion.numbers) * np.log(n) - 2 * diffusion.log_likelihood
    hops = diffusion_bic - bic[jumps.n_states] > CLEAR
    sums = lag_sums(measured)
    bootstrap = MovieBootstrap(
        np.arange(len(measured.movies)), BootstrapSettings(samples, LEVEL, seed)
    )
    weights = bootstrap.weights.astype(np.float64)
    progress(0.3, 1, "resampling movies")
    draws = _Draws(
        grid,
        resample_density(measured, grid, knots, weights),
        resample_jumps(measured, jumps, weights),
        np.array([sums.correlation(one) for one in weights]),
    )
    progress(0.6, 1, "resampling movies")
    # A diffusion that does not fit is only worth a few samples, for the forecast.
    draws.diffusion = resample_langevin(measured, diffusion, weights[: _MIXED if hops else None])
    probabilities, expected = state_probabilities(measured, jumps)
    correlation = sums.correlation(np.ones(len(measured.movies)))
    draws_of_times = np.array([sums.timescales(one) for one in draws.correlation])
    d = Estimate.of(
        diffusion.mean_diffusion, np.array([f.mean_diffusion for f in draws.diffusion]), LEVEL
    )
    facts = KineticsFacts(
        along=coordinate.name if coordinate is not None else "x",
        unit=measured.unit,
        n_movies=len(measured.movies),
        n_frames=n,
        interval=measured.interval,
        longest=measured.longest,
        watched=measured.watched,
        deviation=measured.shrunk()[2],
        frame_error=float(np.median(measured.information[measured.information > 0]) ** -0.5),
        level=LEVEL,
        samples=samples,
        energy=draws.energy(knots),
        correlation=Curve.of(sums.lags, correlation, draws.correlation, LEVEL),
        timescales=Curve.of(sums.lags[1:], sums.timescales(correlation), draws_of_times, LEVEL),
        bic={**{str(k): float(v) for k, v in bic.items()}, "diffusion": float(diffusion_bic)},
        states_given=states != "auto" or basins is not None,
        basins=_basins(measured, jumps, draws.jumps, expected),
        rates=_rates(measured, jumps, draws.jumps, expected),
        relaxation=Estimate.of(
            jumps.relaxation, np.array([f.relaxation for f in draws.jumps]), LEVEL
        ),
        diffusion=d,
        diffusion_relaxation=Estimate.of(
            diffusion.relaxation, np.array([f.relaxation for f in draws.diffusion]), LEVEL
        ),
        diffusion_known=not hops and d.spread <= _WIDEST,
        warnings=_warnings(measured, jumps),
    )
    forecast = _forecast(measured, [diffusion, *draws.diffusion[:_MIXED]])
    progress(1, 1)
    return Kinetics(facts, measured, jumps, diffusion, probabilities, forecast, coordinate)


@dataclass
class _Draws:
    """Fits of all bootstrap samples."""

    grid: Grid
    knots: np.ndarray
    jumps: list[JumpFit]
    correlation: np.ndarray
    diffusion: list[LangevinFit] = field(default_factory=list)

    def energy(self, knots: np.ndarray) -> Curve:
        """``−kT ln p``, 0 at its lowest; not where the density is below 1 % of its greatest."""
        basis = self.grid.basis.numpy()
        best = basis @ knots
        lowest = best.argmin()
        shown = best - best[lowest] < -np.log(0.01)
        curves = self.knots @ basis.T
        curves -= _log_mean(curves, basis @ knots)
        best = best - best[lowest]
        curves += best @ np.exp(-best) / np.exp(-best).sum()
        best[~shown], curves[:, ~shown] = np.nan, np.nan
        first, last = np.flatnonzero(shown)[[0, -1]]
        inside = slice(first, last + 1)
        return Curve.of(self.grid.points[inside], best[inside], curves[:, inside], LEVEL)


def _log_mean(curves: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Mean height of each curve ``(n, K)`` under the best density: the zero of energies is free."""
    share = np.exp(-(best - best.min()))
    found: np.ndarray = (curves @ (share / share.sum()))[:, None]
    return found


def require_movies(movies: Sequence[np.ndarray]) -> None:
    """Raise a TemporemError if movies are too few for intervals over them."""
    long = [rows for rows in movies if len(rows) > 1]
    if len(long) < LEAST_MOVIES:
        raise TemporemError(
            f"{len(long)} movies of two frames or more",
            expected=f"at least {LEAST_MOVIES}; rates and their intervals come from many movies",
        )


def _require(measured: Measurements) -> None:
    require_movies(measured.movies)
    if not (measured.information > 0).any():
        raise TemporemError(
            "no frame says anything about this latent",
            expected="a latent that the images determine",
        )


def _counts(states: int | str, basins: list[float] | None) -> list[int]:
    if basins is not None:
        return [len(basins)]
    return list(range(1, _TRIED + 1)) if isinstance(states, str) else [states]


def _rates(
    measured: Measurements, fit: JumpFit, draws: list[JumpFit], expected: np.ndarray
) -> list[Rate]:
    found = []
    for i in range(fit.n_states):
        for j in range(fit.n_states):
            if i == j:
                continue
            estimate = Estimate.of(
                fit.rates[i, j], np.array([one.rates[i, j] for one in draws]), LEVEL
            )
            jumps = float(expected[i, j])
            limit, reason = None, ""
            if jumps < _LEAST_JUMPS:
                reason = f"{jumps:.1f} such jumps in all movies"
                # Poisson: 3 expected events without one have a probability of 5 %.
                limit = (jumps + 3) / max(float(fit.populations[i] * measured.watched), 1e-30)
            elif fit.rates[i].sum() * measured.interval > 1:
                reason = "stays are shorter than the time between frames"
            elif estimate.spread > _WIDEST:
                reason = "resampled movies give very different rates"
            found.append(
                Rate(
                    start=i + 1,
                    end=j + 1,
                    rate=estimate,
                    jumps=jumps,
                    known=not reason,
                    reason=reason,
                    limit=limit,
                )
            )
    return found


def _basins(
    measured: Measurements, fit: JumpFit, draws: list[JumpFit], expected: np.ndarray
) -> list[Basin]:
    basins = []
    for i in range(fit.n_states):
        dwell = Estimate.of(fit.dwells[i], np.array([one.dwells[i] for one in draws]), LEVEL)
        basins.append(
            Basin(
                centre=Estimate.of(
                    fit.centres[i], np.array([one.centres[i] for one in draws]), LEVEL
                ),
                width=Estimate.of(fit.widths[i], np.array([one.widths[i] for one in draws]), LEVEL),
                population=Estimate.of(
                    fit.populations[i], np.array([one.populations[i] for one in draws]), LEVEL
                ),
                dwell=dwell,
                dwell_known=bool(
                    expected[i].sum() >= _LEAST_JUMPS
                    and dwell.spread <= _WIDEST
                    and fit.dwells[i] > measured.interval
                ),
            )
        )
    return basins


def _warnings(measured: Measurements, fit: JumpFit) -> list[str]:
    texts = []
    values = measured.shrunk()[0]
    thirds = [(rows, max(1, len(rows) // 3)) for rows in measured.movies if len(rows) > 1]
    change = np.array([values[r[-k:]].mean() - values[r[:k]].mean() for r, k in thirds])
    error = change.std(ddof=1) / len(change) ** 0.5
    if error > 0 and abs(change.mean()) > _LEAST_DRIFT * error:
        texts.append(
            f"Movies are not in equilibrium: from their first to their last third the latent "
            f"changes by {change.mean():+.2f} ± {error:.2f}. Rates and energies assume "
            "equilibrium, so do not trust them. Damage, or movies that begin alike, look like this."
        )
    finite = fit.dwells[np.isfinite(fit.dwells)]
    if len(finite) and finite.max() > measured.longest:
        texts.append(
            f"The longest movie ({measured.longest:.3g} {measured.unit}) is shorter than the "
            f"longest dwell ({finite.max():.3g} {measured.unit}). Such rates rest on the number of "
            "jumps in all movies, and on jumps that have no memory."
        )
    return texts


def _forecast(measured: Measurements, fits: list[LangevinFit]) -> Forecast:
    """Mix the forecasts of resampled fits, so that the uncertainty of the model counts."""
    ahead = measured.interval * np.arange(1, _AHEAD + 1)
    share = np.mean([fit.forecast(measured, ahead) for fit in fits], axis=0)
    points, spacing = fits[0].grid.points, fits[0].grid.spacing
    below = np.cumsum(share, axis=-1)
    edges = points + spacing / 2
    tail = (1 - LEVEL) / 2

    def quantile(p: float) -> np.ndarray:
        found: np.ndarray = edges[(below >= p * below[..., -1:]).argmax(-1)]
        return found

    return Forecast(ahead, share @ points, quantile(tail) - spacing, quantile(1 - tail))
