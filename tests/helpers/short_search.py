"""Searches for poses of a few rounds, so that a test takes seconds."""

from __future__ import annotations

from functools import partial

import pytest

from temporem.poses.ab_initio import Round
from temporem.poses.find import pose_states

SHORT = partial(
    pose_states,
    iterations=2,
    motion_iterations=1,
    rounds=(*[Round(4, 30)] * 2, Round(5, 25)),
)


def shorten_searches(patch: pytest.MonkeyPatch, **settings: object) -> None:
    """Have runs search for a short time; ``settings`` are arguments of ``pose_states``."""
    patch.setattr("temporem.runs.poses.pose_states", partial(SHORT, **settings))
