"""Comparison of two runs on the same frames: Eq. 16 of the paper and other paired gains.

Run a is the reference (``static`` in the paper), and run b should be better (``tempor``). Positive
gains favour b, in Å as in correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.masks import WHOLE_BOX
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.metric import NO_PLACE, Metric, Score
from temporem.evaluation.sample import Sample
from temporem.evaluation.summary import finite


class Estimate(NamedTuple):
    """A number with a bootstrap confidence interval over movies; NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Gain:
    """Gain of run b over run a in one number.

    Attributes:
        metric, score: the number.
        place: region or parameter; empty for neither.
        label: for a table.
        estimate: as stored; printed values are these times the score's factor.
        detail: the gain in words, for a verdict.
    """

    metric: Metric
    score: Score
    place: str
    label: str
    estimate: Estimate
    detail: str

    @property
    def rank(self) -> int | None:
        """Importance, 1 the greatest; None for a gain that is never among the first."""
        return self.score.rank(self.place)

    @property
    def noun(self) -> str:
        """Name of the number in a verdict; empty where a verdict leaves it out."""
        noun, words = self.score.noun, self.metric.words(self.place)
        if not noun or "{place}" in noun or self.place in (NO_PLACE, WHOLE_BOX):
            return noun.format(place=words)
        return f"{noun} in the {words}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Run b against run a over the frames that both evaluate.

    Attributes:
        a, b: the evaluations.
        gains: of all metrics that both have.
    """

    a: Evaluation
    b: Evaluation
    gains: Sequence[Gain]

    def gain(self, metric: str, name: str, place: str = NO_PLACE) -> Estimate:
        """One gain by the name of its metric, its own and its place."""
        wanted = (metric, name, place)
        return next(
            gain.estimate
            for gain in self.gains
            if (gain.metric.name, gain.score.name, gain.place) == wanted
        )

    def summary(self) -> dict[str, Any]:
        """Gains by metric, place and name as JSON allows them; estimates are {value, low, high}."""
        document: dict[str, Any] = {"n_frames": len(self.a.frames)}
        for gain in self.gains:
            section = document.setdefault(gain.metric.name, {})
            if gain.place:
                section = section.setdefault(gain.place, {})
            section[gain.score.name] = gain.estimate._asdict()
        return finite(document)


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Compare two evaluations of the same frames by the same measures.

    Args:
        a: the reference, ``static`` in the paper.
        b: the run that should be better, ``tempor`` in the paper.

    Raises:
        TemporemError: the evaluations differ in dataset, frames or settings.

    Example:
        >>> gains = tm.compare(tm.evaluate("static-run"), tm.evaluate("tempor-run"))
        >>> area = gains.summary()["fsc"]["unmasked"]["auc"]  # value and confidence interval
    """
    _check_comparable(a, b)
    sample, gains = Sample(a), []
    for metric in METRICS.values():
        for place in (p for p in a[metric.name] if p in b[metric.name]):
            gains += _gains(metric, place, a, b, sample)
    return Comparison(a, b, gains)


def _gains(metric: Metric, place: str, a: Evaluation, b: Evaluation, sample: Sample) -> list[Gain]:
    first, second = a[metric.name][place], b[metric.name][place]
    paired = metric.paired(first, second, sample)
    values = [metric.statistics(arrays, sample) for arrays in (first, second)]
    scores = {score.name: score for score in metric.scores}
    found = []
    for score in metric.gains:
        statistic = paired[score.name]
        detail = statistic.detail
        if not detail and score.name in scores:
            of_a, of_b = (scores[score.name].print(v[score.name].value) for v in values)
            detail = f"{of_b} against {of_a}"
        estimate = Estimate(statistic.value, *sample.interval(statistic))
        label = metric.label(score, place, metric.note(a.settings))
        found.append(Gain(metric, score, place, label, estimate, detail))
    return found


def _check_comparable(a: Evaluation, b: Evaluation) -> None:
    same = "evaluate both runs on the same dataset with the same options"
    if (a.box, a.pixel_size_angstrom) != (b.box, b.pixel_size_angstrom):
        raise TemporemError(
            f"the runs differ in box or pixel size: {a.box} at {a.pixel_size_angstrom:g} Å and "
            f"{b.box} at {b.pixel_size_angstrom:g} Å",
            hint=same,
        )
    if not a.frames.same_as(b.frames):
        raise TemporemError(
            f"the runs were evaluated on different frames ({len(a.frames)} and "
            f"{len(b.frames)}) or with different held-out movies",
            hint=same,
        )
    if a.settings != b.settings:
        raise TemporemError(
            f"the runs were evaluated with different settings: {a.settings} and {b.settings}",
            hint=same,
        )
    # The true volumes were computed twice, perhaps on two machines: equal but for rounding.
    if not np.allclose(a.truth_power, b.truth_power, rtol=1e-3, atol=1e-6 * a.truth_power.max()):
        raise TemporemError("the runs were evaluated against different true volumes", hint=same)
