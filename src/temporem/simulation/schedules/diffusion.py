"""Schedule of a molecule that diffuses along the path in a potential."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from temporem.simulation.schedules.base import Draws, PathSchedule, folded

if TYPE_CHECKING:
    from torch import Generator, Tensor

_MOST_STEPS = 1_000_000  # of one movie; a minute or so
_DRIFT, _BEND = 0.1, 0.04  # largest D dt U'² and D dt |U''| of a sub-step
_FINE = 4096  # parts of the path to draw starts from

Potential = Annotated[float, Field(ge=-1000, le=1000)]


class Diffusion(PathSchedule):
    """Overdamped Langevin dynamics along the path, ``dx = −D U'(x) dt + √(2D) dW``.

    U is the potential in kT. The ends of the path reflect. Movies start in equilibrium, from the
    Boltzmann distribution ``exp(−U)``.

    A sub-step is a step of the equation (Ermak and McCammon 1978), which is accepted or refused so
    that the Boltzmann distribution stays exact (MALA; Roberts and Tweedie 1996). Sub-steps are so
    short that few are refused. On a flat path a step of any length is exact.
    """

    kind: Literal["diffusion"] = "diffusion"
    diffusion_per_second: PositiveFloat = Field(
        default=0.2, description="Diffusion coefficient D, paths² per second."
    )
    potential_kt: list[Potential] = Field(
        default=[0.0],
        min_length=1,
        max_length=1000,
        description="Potential, kT, at evenly spaced points from 0 to 1; smooth between them.",
    )

    def check(self, frames: int, interval_seconds: float) -> None:
        """Bound the number of sub-steps of a movie."""
        steps = self._sub_steps(interval_seconds) * frames
        if steps > _MOST_STEPS:
            raise ValueError(
                f"schedule: {steps:.3g} sub-steps a movie, at most {_MOST_STEPS}; lower "
                "diffusion_per_second, or make potential_kt less steep"
            )

    def progress(
        self, movies: int, frames: int, interval_seconds: float, generator: Generator
    ) -> Tensor:
        """See :meth:`PathSchedule.progress`."""
        from torch import from_numpy

        draws, potential = Draws(movies, generator), SmoothPotential(self.potential_kt)
        steps = math.ceil(self._sub_steps(interval_seconds))
        spread = self.diffusion_per_second * interval_seconds / steps
        places = [potential.equilibrium(draws.uniform())]
        for _ in range(frames - 1):
            place = places[-1]
            for _ in range(steps):
                place = _sub_step(place, potential, spread, draws)
            places.append(place)
        return from_numpy(np.stack(places, axis=1))

    def _sub_steps(self, interval_seconds: float) -> float:
        """Number of sub-steps between two frames, 1 or more, not yet whole."""
        slope, bend = SmoothPotential(self.potential_kt).steepest()
        spread = self.diffusion_per_second * interval_seconds
        return max(1.0, spread * slope**2 / _DRIFT, spread * bend / _BEND)


def _sub_step(
    place: np.ndarray, potential: SmoothPotential, spread: float, draws: Draws
) -> np.ndarray:
    """Move by one sub-step of ``D dt = spread``; on the line whose fold is the path."""
    energy, slope = potential(place)
    noise = draws.normal()
    there = place - spread * slope + math.sqrt(2 * spread) * noise
    energy_there, slope_there = potential(there)
    back = (place - there + spread * slope_there) ** 2 / (4 * spread)
    accepted = -draws.exponential() < energy - energy_there + noise**2 / 2 - back
    return np.where(accepted, folded(there), place)


class SmoothPotential:
    """A smooth curve through values at evenly spaced points of the path, continued by reflection.

    Cubic between points, with the harmonic mean of neighbouring slopes at them (Fritsch and Butland
    1984). It has no extrema but at points, and it is flat at both ends.

    Args:
        values: potential, kT, at points from 0 to 1; one value is a flat path.
    """

    def __init__(self, values: list[float]) -> None:
        heights = np.array(values if len(values) > 1 else values * 2, dtype=np.float64)
        self._heights = heights - heights.min()
        self._parts = len(heights) - 1
        rises = np.diff(self._heights) * self._parts
        before, after = rises[:-1], rises[1:]
        alike = before * after > 0
        mean = 2 * before * after / np.where(alike, before + after, 1)
        self._slopes = np.concatenate([[0.0], np.where(alike, mean, 0.0), [0.0]])

    def __call__(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give potential and slope at places on the whole line, of any shape."""
        x = folded(places) * self._parts
        i = np.minimum(x.astype(np.int64), self._parts - 1)
        s = x - i
        first, last = self._heights[i], self._heights[i + 1]
        leaving, coming = self._slopes[i] / self._parts, self._slopes[i + 1] / self._parts
        rise = last - first
        square, cube = 3 * rise - 2 * leaving - coming, leaving + coming - 2 * rise
        energy = first + s * (leaving + s * (square + s * cube))
        slope = (leaving + s * (2 * square + s * 3 * cube)) * self._parts
        return energy, np.where(np.remainder(places, 2) > 1, -slope, slope)

    def steepest(self) -> tuple[float, float]:
        """Largest slope, kT per path, and largest curvature, kT per path²."""
        places = np.linspace(0, 1, 32 * self._parts + 1)
        slope = self(places)[1]
        return float(np.abs(slope).max()), float(np.abs(np.diff(slope)).max() / places[1])

    def equilibrium(self, uniform: np.ndarray) -> np.ndarray:
        """Turn uniform random numbers into places of the Boltzmann distribution."""
        edges = np.linspace(0, 1, max(_FINE, 8 * self._parts) + 1)
        weights = np.exp(-self((edges[1:] + edges[:-1]) / 2)[0])
        below = np.concatenate([[0.0], np.cumsum(weights)])
        return np.interp(uniform, below / below[-1], edges)
