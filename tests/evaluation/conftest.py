"""Two evaluations of the same frames that many tests read."""

from __future__ import annotations

import pytest

from helpers.swing import good_and_poor
from temporem.evaluation.evaluation import Evaluation


@pytest.fixture(scope="session")
def both() -> tuple[Evaluation, Evaluation]:
    """A good and a poor reconstruction, two movies held out."""
    return good_and_poor()


@pytest.fixture
def good(both: tuple[Evaluation, Evaluation]) -> Evaluation:
    """The one of less noise, with latents and states."""
    return both[0]


@pytest.fixture
def poor(both: tuple[Evaluation, Evaluation]) -> Evaluation:
    """The one of more noise."""
    return both[1]
