"""Schedule of a molecule that wanders to and fro at a speed of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat

from temporem.simulation.schedules.base import Draws, PathSchedule, folded
from temporem.structures.motions.base import ordered

if TYPE_CHECKING:
    from torch import Generator, Tensor

_MOST_TURNS = 100_000


class Wander(PathSchedule):
    """Every movie starts anywhere on the path, in either direction, at a speed of its own.

    The molecule turns round at both ends of the path. In between, it reverses at random moments
    and rests at random moments; after a rest it continues in its direction. Waiting times are
    exponential, so reversals alone make the motion a telegraph process (Goldstein 1951, Kac 1974)
    between reflecting ends. Places are uniform on the path at all times.

    The path of a movie is computed in continuous time, from event to event. So it does not depend
    on the interval at which frames are taken.
    """

    kind: Literal["wander"] = "wander"
    speed_per_second: Annotated[
        tuple[NonNegativeFloat, NonNegativeFloat], AfterValidator(ordered)
    ] = Field(
        default=(0.3, 1.5), description="Range of a movie's speed, paths per second; uniform."
    )
    reversals_per_second: NonNegativeFloat = Field(
        default=0.5, description="Reversals per second of motion, beside those at the ends."
    )
    rests_per_second: NonNegativeFloat = Field(
        default=0.5, description="Rests that begin per second of motion."
    )
    rest_seconds: PositiveFloat = Field(default=0.3, description="Mean length of a rest.")

    def check(self, frames: int, interval_seconds: float) -> None:
        """Bound the number of reversals and rests of a movie."""
        turns = (self.reversals_per_second + self.rests_per_second) * frames * interval_seconds
        if turns > _MOST_TURNS:
            raise ValueError(
                f"schedule: {turns:.3g} reversals and rests a movie, at most {_MOST_TURNS}; lower "
                "reversals_per_second or rests_per_second"
            )

    def progress(
        self, movies: int, frames: int, interval_seconds: float, generator: Generator
    ) -> Tensor:
        """See :meth:`PathSchedule.progress`."""
        from torch import from_numpy

        draws, times = Draws(movies, generator), np.arange(frames) * interval_seconds
        moments, places = self._events(draws, times[-1])
        along = [np.interp(times, *movie) for movie in zip(moments.T, places.T, strict=True)]
        return from_numpy(folded(np.stack(along)))

    def _events(self, draws: Draws, last: float) -> tuple[np.ndarray, np.ndarray]:
        """Times of events and unfolded places there, ``(events, movies)`` each, up to a time."""
        low, high = self.speed_per_second
        speed = low + (high - low) * draws.uniform()
        velocity = np.where(draws.uniform() < 0.5, -speed, speed)
        place, clock = draws.uniform(), np.zeros_like(speed)
        leaving = self.reversals_per_second + self.rests_per_second
        # In equilibrium: the share of time at rest.
        load = self.rests_per_second * self.rest_seconds
        resting = draws.uniform() < load / (1 + load)
        moments, places = [clock], [place]
        while clock.min() < last:
            # An event that never comes lies behind the last frame.
            wait = draws.exponential()
            moving_for = np.minimum(wait, leaving * last) / leaving if leaving else last
            stay = np.where(resting, wait * self.rest_seconds, moving_for)
            place = place + np.where(resting, 0.0, velocity * stay)
            clock = clock + stay
            moments.append(clock)
            places.append(place)
            rests = ~resting & (draws.uniform() * leaving < self.rests_per_second)
            velocity = np.where(~resting & ~rests, -velocity, velocity)
            resting = rests
        return np.stack(moments), np.stack(places)
