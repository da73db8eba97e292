"""Latents of movies that jump or diffuse with known rates, each frame with Gaussian noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import expm

from temporem.kinetics.measurements import Measurements


def planted_jumps(
    rates: Sequence[Sequence[float]],
    centres: Sequence[float],
    *,
    noise: float,
    movies: int = 60,
    frames: int = 20,
    interval: float = 0.1,
    missing: float = 0.1,
    seed: int = 0,
) -> tuple[Measurements, np.ndarray]:
    """Draw movies that jump between states in equilibrium.

    Args:
        rates: k_ij per second, ``(S, S)``; the diagonal is not read.
        centres: x of the states, ``(S,)``.
        noise: standard deviation of a frame.
        movies: number of movies.
        frames: of each movie, before some are lost.
        interval: time between frames, s.
        missing: share of the frames that are lost.
        seed: of the random numbers.

    Returns:
        What frames measure, and the state of each, ``(N,)``.
    """
    rng = np.random.default_rng(seed)
    generator = np.array(rates, dtype=np.float64)
    np.fill_diagonal(generator, 0)
    generator -= np.diag(generator.sum(1))
    step = expm(generator * interval).cumsum(1)
    share = expm(generator * 1e6)[0].cumsum()
    state = np.empty((movies, frames), dtype=np.int64)
    draws = rng.random((movies, frames))
    state[:, 0] = (draws[:, :1] > share[:-1]).sum(1)
    for t in range(1, frames):
        state[:, t] = (draws[:, t, None] > step[state[:, t - 1], :-1]).sum(1)
    x = np.array(centres)[state].ravel()
    return _measured(x, noise, movies, frames, interval, missing, rng), state.ravel()


def planted_diffusion(
    relaxation: float,
    *,
    noise: float,
    movies: int = 60,
    frames: int = 20,
    interval: float = 0.1,
    missing: float = 0.1,
    seed: int = 0,
) -> tuple[Measurements, np.ndarray]:
    """Draw movies of an Ornstein–Uhlenbeck process of variance 1, whose D is ``1 / relaxation``.

    Returns:
        What frames measure, and the true x, ``(N,)``.
    """
    rng = np.random.default_rng(seed)
    memory = np.exp(-interval / relaxation)
    kicks = rng.standard_normal((movies, frames))
    x = kicks.copy()
    for t in range(1, frames):
        x[:, t] = memory * x[:, t - 1] + (1 - memory**2) ** 0.5 * kicks[:, t]
    return _measured(x.ravel(), noise, movies, frames, interval, missing, rng), x.ravel()


def _measured(
    x: np.ndarray,
    noise: float,
    movies: int,
    frames: int,
    interval: float,
    missing: float,
    rng: np.random.Generator,
) -> Measurements:
    """Add noise that differs from frame to frame, and lose some frames."""
    deviation = noise * np.exp(0.2 * rng.standard_normal(len(x)))
    times = np.tile(np.arange(frames) * interval, movies)
    rows = [np.arange(m * frames, (m + 1) * frames) for m in range(movies)]
    kept = rng.random(len(x)) >= missing
    kept[::frames] = True
    measured = x + deviation * rng.standard_normal(len(x))
    return Measurements.of_values(measured, deviation, times, [row[kept[row]] for row in rows])
