"""Scores count what was found, missed, invented and confused."""

import numpy as np
import pytest

from temporem.extraction.scores import match, score
from temporem.io.positions import Positions


def positions(rows) -> Positions:
    tracks, frames, x, y = zip(*rows, strict=True)
    places = np.array([x, y], dtype=float).T
    return Positions(np.repeat("m", len(rows)), np.array(tracks), np.array(frames), places)


TRUE = positions([("p", f, 10, 10 + f) for f in range(1, 5)] + [("q", f, 50, 50) for f in (1, 2)])


def test_perfect():
    found = score(TRUE, TRUE, 3)
    assert (found.recall, found.precision, found.purity, found.fragments) == (1, 1, 1, 1)
    assert found.error_pixels == 0


def test_missed_invented_and_confused():
    found = positions(
        [("1", 1, 10, 12), ("1", 2, 10, 12), ("1", 3, 50, 20), ("2", 3, 10, 13), ("2", 4, 10, 14)]
    )
    assert match(found, TRUE, 3).tolist() == [0, 1, -1, 2, 3]
    scores = score(found, TRUE, 3)
    assert scores.recall == pytest.approx(4 / 6)
    assert scores.precision == pytest.approx(4 / 5)
    assert scores.purity == pytest.approx((2 / 3 + 1) / 2)
    assert scores.fragments == 2
    assert scores.rms_error_pixels == pytest.approx(0.5)
