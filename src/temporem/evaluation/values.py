"""The numbers of an evaluation with their labels, from the metrics that were measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.metric import NO_PLACE, Metric, Score
from temporem.evaluation.sample import Sample


@dataclass(frozen=True, eq=False)
class Value:
    """One number of an evaluation.

    Attributes:
        metric, score: what it is a number of.
        place: region or parameter; empty for neither.
        label: for a table.
        value: as stored; printed values are these times the score's factor.
        interval: confidence interval; NaN where there is none.
        held_out: it is over held-out movies alone.
    """

    metric: Metric
    score: Score
    place: str
    label: str
    value: float
    interval: tuple[float, float]
    held_out: bool

    @property
    def rank(self) -> int | None:
        """Importance, 1 the greatest; None for a number that is never among the first."""
        return None if self.held_out else self.score.rank(self.place)

    @property
    def text(self) -> str:
        """The value with its unit: ``5.61 Å``."""
        unit = self.metric.unit(self.score, self.place)
        return f"{self.score.print(self.value)}{'' if unit in ('', '°') else ' '}{unit}"

    @property
    def phrase(self) -> str:
        """The value as a predicate of a sentence on the run; empty for none."""
        return self.score.phrase.format(value=self.text, place=self.metric.words(self.place))


def values(evaluation: Evaluation, *, held_out: bool = False) -> list[Value]:
    """The numbers of all metrics.

    Args:
        evaluation: what was measured.
        held_out: over the movies that were kept from training, and only of metrics that can be
            taken over some of the frames; else over all frames.
    """
    chosen = evaluation.frames.held_out if held_out else None
    if chosen is not None and not chosen.any():
        return []
    sample, found = Sample(evaluation, chosen), []
    for metric in METRICS.values():
        if held_out and not metric.of_frames:
            continue
        notes = metric.note(evaluation.settings), "held-out movies" if held_out else ""
        for place, arrays in evaluation[metric.name].items():
            numbers = metric.statistics(arrays, sample)
            found += [
                Value(
                    metric,
                    score,
                    place,
                    metric.label(score, place, *notes),
                    numbers[score.name].value,
                    sample.interval(numbers[score.name]),
                    held_out,
                )
                for score in metric.scores
            ]
    return found


def main_scores(evaluation: Evaluation, most: int = 8) -> dict[str, str]:
    """Main numbers of an evaluation by label, with their units.

    Example:
        >>> tm.main_scores(tm.evaluate("tempor-run"))["Motion correlation, whole box"]
        '0.716'
    """
    found = values(evaluation)
    chosen = set(most_important({value.label: value.rank for value in found}, most))
    return {value.label: value.text for value in found if value.label in chosen}


def value_of(evaluation: Evaluation, metric: str, score: str, place: str = NO_PLACE) -> float:
    """One number over all frames: ``value_of(evaluation, "motion", "correlation", "moving")``.

    Raises:
        KeyError: it was not measured.
    """
    arrays = evaluation[metric][place]
    return METRICS[metric].statistics(arrays, Sample(evaluation))[score].value


def most_important(ranks: Mapping[str, int | None], most: int) -> list[str]:
    """Select the labels of lowest rank, at most ``most``, in their own order.

    Args:
        ranks: of rows by label; None for those that are never among the first.
        most: how many are wanted.
    """
    ranked = sorted((rank, place) for place, rank in enumerate(ranks.values()) if rank is not None)
    chosen = {place for _, place in ranked[:most]}
    return [label for place, label in enumerate(ranks) if place in chosen]


def phrases(numbers: Iterable[Value]) -> list[str]:
    """Phrases on the most important numbers of a run, one a score."""
    by_score: dict[str, Value] = {}
    for number in numbers:
        rank, phrase = number.rank, number.score.phrase
        if rank is None or not phrase or not np.isfinite(number.value):
            continue
        known = by_score.get(phrase)
        if known is None or rank < (known.rank or 0):
            by_score[phrase] = number
    return [number.phrase for number in by_score.values()]
