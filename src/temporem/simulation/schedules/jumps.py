"""Schedule of a molecule that jumps between two states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from temporem.simulation.schedules.base import Draws, PathSchedule, Place

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Jumps(PathSchedule):
    """Two states at fixed places of the path; the molecule jumps at random from one to the other.

    A Markov chain in continuous time with rates k₁ forward and k₂ back (Colquhoun and Hawkes
    1977). It starts in equilibrium, where the second state has the share ``k₁ / (k₁ + k₂)``, and
    forgets with the rate ``k₁ + k₂``. A jump takes no time. Frames are drawn from the exact
    probabilities of the chain, so their interval does not matter.
    """

    kind: Literal["jumps"] = "jumps"
    between: tuple[Place, Place] = Field(
        default=(0.0, 1.0), description="Places of both states on the path, from 0 to 1."
    )
    rates_per_second: tuple[PositiveFloat, PositiveFloat] = Field(
        default=(1.0, 1.0), description="Rates from the first to the second state, and back."
    )

    def progress(
        self, movies: int, frames: int, interval_seconds: float, generator: Generator
    ) -> Tensor:
        """See :meth:`PathSchedule.progress`."""
        from torch import from_numpy

        draws, (forward, back) = Draws(movies, generator), self.rates_per_second
        share, memory = forward / (forward + back), np.exp(-(forward + back) * interval_seconds)
        second = [draws.uniform() < share]
        for _ in range(frames - 1):
            second.append(draws.uniform() < share + (second[-1] - share) * memory)
        return from_numpy(np.where(np.stack(second, axis=1), self.between[1], self.between[0]))
