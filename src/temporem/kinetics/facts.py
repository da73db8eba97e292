"""Kinetics as they are stored: numbers with intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Estimate(_Facts):
    """A number with its interval over movies; None where it is not finite."""

    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None

    @classmethod
    def of(cls, value: float, samples: np.ndarray, level: float) -> Estimate:
        """Take the percentiles of bootstrap samples; none if a twentieth of them is missing."""
        finite = np.asarray(samples, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        tail = (1 - level) / 2
        if len(finite) < max(2, 0.95 * len(samples)):
            return cls(value=_number(value), low=None, high=None)
        low, high = np.quantile(finite, [tail, 1 - tail])
        return cls(value=_number(value), low=_number(low), high=_number(high))

    @property
    def spread(self) -> float:
        """Ratio of the ends of the interval of a positive number; infinite without one."""
        if self.low is None or self.high is None or self.low <= 0:
            return math.inf
        return self.high / self.low


class Curve(_Facts):
    """A function of x with its band; None where it is not known."""

    x: list[FiniteFloat]
    value: list[FiniteFloat | None]
    low: list[FiniteFloat | None]
    high: list[FiniteFloat | None]

    @model_validator(mode="after")
    def _of_one_length(self) -> Curve:
        if len({len(self.x), len(self.value), len(self.low), len(self.high)}) > 1:
            raise ValueError("lists must be of one length")
        return self

    @classmethod
    def of(cls, x: np.ndarray, value: np.ndarray, samples: np.ndarray, level: float) -> Curve:
        """Take the percentiles of bootstrap samples ``(n, len(x))`` at every x."""
        found = [
            Estimate.of(one, column, level) for one, column in zip(value, samples.T, strict=True)
        ]
        return cls(
            x=x.tolist(),
            value=[one.value for one in found],
            low=[one.low for one in found],
            high=[one.high for one in found],
        )

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """x, value, low, high, with NaN for None."""
        columns: tuple[list[Any], ...] = (self.x, self.value, self.low, self.high)
        x, value, low, high = (np.array(column, dtype=np.float64) for column in columns)
        return x, value, low, high


class Basin(_Facts):
    """A basin; see :class:`JumpFit`. ``dwell_known`` is false where the stay cannot be told."""

    centre: Estimate
    width: Estimate
    population: Estimate
    dwell: Estimate
    dwell_known: bool


class Rate(_Facts):
    """Rate of jumps from one basin to another, counted from 1.

    Attributes:
        start, end: the basins.
        rate: per unit of time.
        jumps: expected number of such jumps in the movies.
        known: false where the movies cannot tell the rate.
        reason: why not.
        limit: greatest rate that agrees with the movies (95 %) where too few jumps were seen.
    """

    start: int = Field(ge=1)
    end: int = Field(ge=1)
    rate: Estimate
    jumps: FiniteFloat
    known: bool
    reason: str = ""
    limit: FiniteFloat | None = None


class KineticsFacts(_Facts):
    """Kinetics along a coordinate x of a run.

    Attributes:
        along: the coordinate, as ``path`` or ``z1``.
        unit: unit of time, ``s`` or ``frame``.
        n_movies, n_frames: of the data.
        interval: median time between frames.
        longest: length of the longest movie.
        watched: lengths of all movies, summed.
        deviation: standard deviation of x without noise.
        frame_error: median standard deviation of a frame alone.
        level: coverage of all intervals.
        samples: bootstrap samples.
        energy: ``−kT ln p`` of the deconvolved density, kT.
        correlation: autocorrelation by lag.
        timescales: implied timescales by lag.
        bic: Bayesian information criterion by number of basins, and of ``diffusion``; less is
            better.
        states_given: the user chose the number of basins.
        basins: in order of x; one if nothing is seen to jump.
        rates: between basins.
        relaxation: relaxation time of the populations.
        diffusion: mean of D in equilibrium, squares of x per unit of time.
        diffusion_relaxation: slowest relaxation time of the diffusion.
        diffusion_known: false where the movies cannot tell D, or hop from basin to basin.
        warnings: sentences.
    """

    along: str
    unit: str
    n_movies: int
    n_frames: int
    interval: FiniteFloat
    longest: FiniteFloat
    watched: FiniteFloat
    deviation: FiniteFloat
    frame_error: FiniteFloat
    level: float = Field(gt=0, lt=1)
    samples: int
    energy: Curve
    correlation: Curve
    timescales: Curve
    bic: dict[str, FiniteFloat]
    states_given: bool
    basins: list[Basin]
    rates: list[Rate]
    relaxation: Estimate
    diffusion: Estimate
    diffusion_relaxation: Estimate
    diffusion_known: bool
    warnings: list[str]

    @property
    def hops(self) -> bool | None:
        """True if jumps describe the frames better than diffusion, None if that cannot be told."""
        difference = self.bic["diffusion"] - self.bic[str(len(self.basins))]
        return None if abs(difference) < CLEAR else difference > 0


CLEAR = 10.0
"""Difference of the BIC that counts as clear (Kass and Raftery 1995)."""


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
