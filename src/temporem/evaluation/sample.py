"""Samples of frames for the numbers of an evaluation, and bootstrap draws of their movies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.resampling import MovieBootstrap


@dataclass(frozen=True, eq=False)
class Statistic:
    """One number, and its values when movies are drawn again.

    Attributes:
        value: the number; NaN where there is none.
        draws: its value for every draw of movies, ``(samples,)``; None for a number without a
            confidence interval.
        more: other numbers that describe the same frames, for ``evaluation.json``.
        detail: words that a verdict puts in brackets; empty for the number itself.
    """

    value: float
    draws: np.ndarray | None = None
    more: Mapping[str, float] = field(default_factory=dict)
    detail: str = ""


class Sample:
    """Some frames of an evaluation, whole movies.

    Args:
        evaluation: of n frames.
        chosen: bool ``(n,)``; all frames when None.

    Attributes:
        evaluation: the same.
        chosen: bool ``(n,)``.
        bootstrap: draws of the movies of the chosen frames.
    """

    def __init__(self, evaluation: Evaluation, chosen: np.ndarray | None = None) -> None:
        groups = evaluation.frames.groups
        self.evaluation = evaluation
        self.chosen = np.ones(len(groups), dtype=bool) if chosen is None else chosen
        self.bootstrap = MovieBootstrap(groups[self.chosen], evaluation.settings.bootstrap)

    def mean(self, values: np.ndarray) -> Statistic:
        """Mean over the frames of numbers ``(n,)``, with their deviation and median."""
        values = values[self.chosen].astype(np.float64)
        return Statistic(
            float(values.mean()),
            self.bootstrap.means(values),
            {"sd": float(values.std()), "median": float(np.median(values))},
        )

    def median(self, values: np.ndarray) -> Statistic:
        """Median over the frames of numbers ``(n,)``."""
        values = values[self.chosen]
        return Statistic(float(np.median(values)), self.bootstrap.medians(values))

    def interval(self, statistic: Statistic) -> tuple[float, float]:
        """Confidence interval of a number; NaN where there is none."""
        if statistic.draws is None:
            return float("nan"), float("nan")
        return self.bootstrap.interval(statistic.draws)
