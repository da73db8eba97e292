"""True states of frames, where the truth has few enough of them to measure."""

from __future__ import annotations

import numpy as np

MAX_STATES = 100
"""Greatest number of states that are measured: a sum of volumes is kept for each."""


def are_states(states: np.ndarray) -> bool:
    """True if labels ``(n,)`` part frames into states: more than one, and not one for each."""
    return 1 < len(np.unique(states)) < len(states)


def can_be_measured(states: np.ndarray) -> bool:
    """True if labels ``(n,)`` are states, and no more than :data:`MAX_STATES`."""
    return are_states(states) and len(np.unique(states)) <= MAX_STATES
