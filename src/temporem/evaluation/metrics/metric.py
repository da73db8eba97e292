"""Metrics: one object each, from which storage, tables, comparison and documents follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from temporem.evaluation.case import Batch, Case, Pair
from temporem.evaluation.evaluation import Arrays, Evaluation
from temporem.evaluation.masks import REGIONS, WHOLE_BOX
from temporem.evaluation.sample import Sample, Statistic
from temporem.evaluation.settings import EvaluationSettings

NO_PLACE = ""
"""The place of a metric that is measured once, and not by region or parameter."""

ANY_PLACE = "*"
"""Stands for all places where ranks are given by place."""

ArrayKind = tuple[str | int, ...]
"""Kind of an array and its axes, as ``("f", "frames", "shells")``."""


@dataclass(frozen=True)
class Score:
    """One number of a metric: its name, its meaning and how it is printed.

    Attributes:
        name: key in ``evaluation.json``.
        label: in tables, without place and unit.
        definition: one sentence with the formula.
        unit: as printed; empty for a pure number.
        direction: +1 where more is better, −1 where less is, 0 where neither is.
        digits: decimals to print.
        factor: printed values are these times the stored ones, as 100 for percent.
        ranks: importance by place (``"*"`` for any), 1 the greatest. The command line shows the
            numbers of the lowest ranks first; those without a rank only with ``--all``.
        phrase: predicate of a sentence on the run, as in ``resolves the frames to {value}``;
            ``{place}`` is the place in words.
        noun: names the number in a verdict on two runs, perhaps with ``{place}``; empty for none.
    """

    name: str
    label: str
    definition: str
    unit: str = ""
    direction: int = 1
    digits: int = 3
    factor: float = 1.0
    ranks: Mapping[str, int] = field(default_factory=dict)
    phrase: str = ""
    noun: str = ""

    def rank(self, place: str) -> int | None:
        """Importance in a place; None for none."""
        return self.ranks.get(place, self.ranks.get(ANY_PLACE))

    def print(self, value: float) -> str:
        """The value with its digits, without its unit."""
        return f"{self.factor * value:.{self.digits}f}".replace("-", "\N{MINUS SIGN}")


class Accumulator(Protocol):
    """Gathers what one metric needs, in one pass over the frames."""

    def add(self, batch: Batch) -> None:
        """Take in the volumes of some frames."""
        ...

    def finish(self) -> dict[str, Arrays]:
        """The arrays of the metric by place."""
        ...


class Ready:
    """An accumulator of a metric that needs no volumes."""

    def __init__(self, by_place: Mapping[str, Mapping[str, Any]]) -> None:
        self._arrays: dict[str, Arrays] = {
            place: {name: np.asarray(array) for name, array in arrays.items()}
            for place, arrays in by_place.items()
        }

    def add(self, batch: Batch) -> None:
        """Do nothing."""

    def finish(self) -> dict[str, Arrays]:
        """The arrays that were given."""
        return self._arrays


class Metric(ABC):
    """One way to compare a reconstruction with the truth.

    Attributes:
        name: key of its section in ``evaluation.json``; its arrays in ``evaluation.npz`` begin
            with it.
        title: for people.
        scores: the numbers that it gives.
        gains: the numbers of a comparison, positive where the second run is better; by default
            every score that has a better direction.
        arrays: what it stores: numpy's letters for the kind of an array, then its axes. An axis is
            a length, ``frames``, ``shells``, ``groups`` (of movies) or a word of the metric's own.
        of_frames: the numbers can be taken over some of the frames, such as held-out movies; else
            they are those of all frames.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    scores: ClassVar[Sequence[Score]] = ()
    gains: ClassVar[Sequence[Score]] = ()
    arrays: ClassVar[Mapping[str, ArrayKind]] = {}
    of_frames: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        if "gains" not in vars(cls):
            cls.gains = [score for score in cls.scores if score.direction]

    @abstractmethod
    def begin(self, case: Case) -> Accumulator | None:
        """Begin to measure; None where there is nothing to measure."""

    @abstractmethod
    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """The numbers of one place over some frames, by score."""

    def paired(self, a: Arrays, b: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Gains of run b over run a in one place, by name of :attr:`gains`.

        By default each score's difference in its better direction. One draw of movies serves both.
        """
        first, second = self.statistics(a, sample), self.statistics(b, sample)
        return {
            score.name: _difference(first[score.name], second[score.name], score.direction)
            for score in self.gains
        }

    def details(self, arrays: Arrays, sample: Sample) -> dict[str, Any]:
        """Other contents of a place's section in ``evaluation.json``."""
        return {}

    def per_frame(self, arrays: Arrays, evaluation: Evaluation) -> Arrays:
        """Values of every frame ``(n,)`` that follow from the arrays, for ``evaluation.npz``."""
        return {}

    def words(self, place: str) -> str:
        """A place for people."""
        return REGIONS.get(place, place)

    def unit(self, score: Score, place: str) -> str:
        """Unit of a score in a place."""
        return score.unit

    def note(self, settings: EvaluationSettings) -> str:
        """Words on the settings that labels must contain."""
        return ""

    def cautions(self, evaluation: Evaluation) -> list[str]:
        """Caveats on the numbers, in sentences."""
        return []

    def label(self, score: Score, place: str, *notes: str) -> str:
        """Label of a score in a table: ``Resolution, whole box (Å)``."""
        words = [score.label, self.words(place) if place else "", *notes]
        unit = self.unit(score, place)
        return ", ".join(filter(None, words)) + (f" ({unit})" if unit else "")


class FrameMetric(Metric):
    """A metric with a value for every frame, whose score is the mean over frames.

    A subclass defines :meth:`measure`, by default with one number for each score.

    Attributes:
        by_region: measure in every region and not only in the whole box.
    """

    by_region: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "arrays" not in vars(cls):
            cls.arrays = {score.name: ("f", "frames") for score in cls.scores}

    @abstractmethod
    def measure(self, pair: Pair) -> Mapping[str, np.ndarray]:
        """Values of B frames, ``(B,)`` each, by score."""

    def begin(self, case: Case) -> Accumulator:
        """Gather the values of all frames."""
        return _FrameValues(self, case)

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Means over frames."""
        return {score.name: sample.mean(arrays[score.name]) for score in self.scores}

    def paired(self, a: Arrays, b: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Means over frames of what b gains on a."""
        return {
            score.name: sample.mean(score.direction * (b[score.name] - a[score.name]))
            for score in self.gains
        }


class _FrameValues:
    """Values of all frames in the order in which they are evaluated."""

    def __init__(self, metric: FrameMetric, case: Case) -> None:
        self._metric, self._n = metric, len(case.frames)
        by_region = {region: region for region in case.regions}
        self._places = by_region if metric.by_region else {NO_PLACE: WHOLE_BOX}
        self._values: dict[str, dict[str, np.ndarray]] = {place: {} for place in self._places}

    def add(self, batch: Batch) -> None:
        for place, region in self._places.items():
            for name, values in self._metric.measure(batch.inside(region)).items():
                kept = self._values[place]
                if name not in kept:
                    kept[name] = np.empty((self._n, *values.shape[1:]), dtype=values.dtype)
                kept[name][batch.part] = values

    def finish(self) -> dict[str, Arrays]:
        return dict(self._values)


def _difference(a: Statistic, b: Statistic, direction: int) -> Statistic:
    draws = None if a.draws is None or b.draws is None else direction * (b.draws - a.draws)
    return Statistic(direction * (b.value - a.value), draws)
