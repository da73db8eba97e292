"""Results of null tests, as tests of words and pages need them."""

from __future__ import annotations

from typing import Any

from temporem.validation.null_facts import NullFacts, SimulatedFacts


def null_facts(still: SimulatedFacts, **changes: Any) -> NullFacts:
    """Twenty movies whose images differ by one nat per frame."""
    known: dict[str, Any] = {
        "n_movies": 20,
        "n_frames": 200,
        "components": 2,
        "angstrom": 13.0,
        "sets": 20,
        "gain": 1.0,
        "gain_interval": (0.5, 1.5),
        "agreement": 0.6,
        "angle_degrees": None,
        "shift_angstrom": None,
    }
    return NullFacts(**(known | {"still": still} | changes))
