"""Comparison of scores of unseen movies."""

from __future__ import annotations

import numpy as np
import pytest

from temporem.errors import TemporemError
from temporem.validation.compare import judge_scores
from temporem.validation.facts import ScoreFacts
from temporem.validation.held_out import MovieScores, advantage

N = np.array([5, 10, 8, 12, 7, 9, 11, 6])


def scores(still: float, change: float, spread: float = 0.1, n: np.ndarray = N) -> MovieScores:
    """Scores of so much per frame, with chance differences between movies."""
    random = np.random.default_rng(0).normal(0, spread, len(n))
    motion = (change + random) * n
    return MovieScores(
        [f"movie{i}" for i in range(len(n))], n, still * n + motion, motion, still * n + motion
    )


def test_a_difference_is_that_of_frames_and_splits_into_mean_and_change() -> None:
    found = advantage(scores(1.0, 2.0), scores(3.0, 1.5))
    assert found.whole.value == pytest.approx(1.5)
    assert found.mean.value == pytest.approx(2.0)
    assert found.change.value == pytest.approx(-0.5)
    assert found.whole.low <= 1.5 <= found.whole.high


def test_what_two_runs_are_each_better_in_is_said() -> None:
    both = {"moved": scores(1.0, 2.0), "changed": scores(3.0, 1.5)}
    said = judge_scores(both, "moved", from_half_sets=False).sentences()
    assert "changed is worse than moved" in said[1]
    assert "changed is better than moved" in said[2]
    assert "changed is better than moved" in said[3]


def test_a_difference_that_movies_disagree_on_is_not_significant() -> None:
    one = scores(1.0, 2.0)
    signs = np.array([1, -1] * 4) * N
    other = MovieScores(one.movies, N, one.scores + signs, one.motion + signs, one.likelihoods)
    other.likelihoods[:] += signs
    one = scores(1.0, 2.0)
    said = judge_scores({"a": one, "b": other}, "a", from_half_sets=True).sentences()
    assert "each with the half set that did not see it" in said[0]
    assert "do not differ significantly" in said[1]


def test_a_motion_that_predicts_nothing_is_warned_of() -> None:
    seen = ScoreFacts.of(scores(1.0, 2.0)).sentence("Held-out movies")
    assert "Warning" not in seen
    lost = ScoreFacts.of(scores(1.0, 0.0)).sentence("Held-out movies")
    assert "likelier than with one volume" in lost
    assert "the motion in these volumes is not confirmed" in lost


def test_two_movies_allow_no_interval() -> None:
    few = N[:2]
    found = advantage(scores(1.0, 2.0, n=few), scores(3.0, 1.5, n=few))
    assert np.isnan(found.whole.low)
    both = {"a": scores(1.0, 2.0, n=few), "b": scores(3.0, 1.5, n=few)}
    assert "too few movies" in judge_scores(both, "a", from_half_sets=False).sentences()[1]


def test_scores_of_other_movies_are_refused() -> None:
    with pytest.raises(TemporemError, match="different movies"):
        advantage(scores(1, 1), scores(1, 1, n=N[:-1]))
