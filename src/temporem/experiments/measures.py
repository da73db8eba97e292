"""The numbers of an experiment: by dataset, method and seed, and over the seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from temporem.errors import TemporemError
from temporem.evaluation.compare import compare
from temporem.evaluation.storage import load_evaluation
from temporem.evaluation.values import values
from temporem.experiments.execute import TIME_NAME
from temporem.experiments.plan import Plan, ResultPart
from temporem.io.json_file import read_json_object

LEVEL = 0.95
"""Coverage of the intervals over seeds."""

_ANEW = "remove its folder and run again"


class Interval(NamedTuple):
    """A mean over seeds with Student's interval, NaN where there is one seed."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Measure:
    """Label, direction and digits of one number.

    Attributes:
        label: with its unit.
        direction: +1 where more is better, −1 where less is, 0 where neither is.
        digits: decimals to print.
        rank: importance, 1 the greatest; None for a number that is never among the first.
    """

    label: str
    direction: int = 1
    digits: int = 3
    rank: int | None = None


@dataclass(frozen=True)
class Record:
    """A number of one seed.

    Attributes:
        dataset, method, seed: the part.
        measure: label of a measure or a gain.
        value: as printed; None where the method has no such number.
        low, high: bootstrap interval over movies of a gain.
    """

    dataset: str
    method: str
    seed: int
    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Numbers:
    """The numbers of all finished parts of an experiment.

    Attributes:
        rows: one a part, of measures and of paired gains.
        measures: by label.
        gains: by label; positive is better.
    """

    rows: Sequence[Record]
    measures: Mapping[str, Measure]
    gains: Mapping[str, Measure]


TIMES = {
    "seconds": Measure("Wall time (s)", -1, 0),
    "processor_seconds": Measure("Processor time (s)", -1, 0),
}


def numbers(plan: Plan, baseline: str) -> Numbers:
    """Read the numbers of all finished parts, paired gains over the baseline among them.

    Raises:
        TemporemError: an evaluation that is damaged.
    """
    rows: list[Record] = []
    measures: dict[str, Measure] = {}
    gains: dict[str, Measure] = {}
    finished = [(part, load_evaluation(part.folder)) for part in plan.results if part.finished]
    for part, evaluation in finished:
        for value in values(evaluation):
            score = value.score
            measure = Measure(value.label, score.direction, score.digits, value.rank)
            measures.setdefault(measure.label, measure)
            rows.append(_record(part, measure, score.factor * value.value))
        for name, seconds in _times(part).items():
            rows.append(_record(part, TIMES[name], seconds))
    references = {part.dataset.folder: item for part, item in finished if part.method == baseline}
    for part, evaluation in finished:
        reference = references.get(part.dataset.folder)
        if part.method == baseline or reference is None:
            continue
        for gain in compare(reference, evaluation).gains:
            score = gain.score
            measure = Measure(f"Gain: {gain.label}", score.direction, score.digits, gain.rank)
            gains.setdefault(measure.label, measure)
            rows.append(_record(part, measure, *(score.factor * x for x in gain.estimate)))
    measures |= {measure.label: measure for measure in TIMES.values()}
    return Numbers(rows, measures, gains)


def _record(part: ResultPart, measure: Measure, *estimate: float | None) -> Record:
    known = [x if x is not None and math.isfinite(x) else None for x in estimate]
    return Record(part.dataset.name, part.method, part.dataset.seed, measure.label, *known)


def _times(part: ResultPart) -> dict[str, float | None]:
    """Times of a reconstruction, where they are known."""
    path = part.folder / TIME_NAME
    document = read_json_object(path, hint=_ANEW) if path.is_file() else {}
    times = {name: document.get(name) for name in TIMES}
    for name, value in times.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TemporemError(f"{path}: {name} is not a number", hint=_ANEW)
    return times


def over_seeds(values: Sequence[float | None]) -> Interval | None:
    """Mean and interval ``mean ± t s / √n`` over seeds; None without a value."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    n = len(known)
    if n == 0:
        return None
    mean = float(known.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = float(student.ppf((1 + LEVEL) / 2, n - 1) * known.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def over_movies(rows: Sequence[Record]) -> Interval | None:
    """Mean over seeds with the bootstrap interval over movies, of all seeds together.

    Movies of one seed are independent of those of another, so that the two sides of the seeds'
    intervals add up in squares: ``√(Σ_s (value_s − low_s)²) / n`` below the mean, and likewise
    above. With one seed it is that seed's own interval.

    Args:
        rows: of one gain, a seed each.
    """
    known = [row for row in rows if row.value is not None]
    if not known:
        return None
    mean, n = float(np.mean([row.value for row in known])), len(known)
    below, above = 0.0, 0.0
    for row in known:
        if row.value is None or row.low is None or row.high is None:
            return Interval(mean, math.nan, math.nan, n)
        below += (row.value - row.low) ** 2
        above += (row.high - row.value) ** 2
    return Interval(mean, mean - math.sqrt(below) / n, mean + math.sqrt(above) / n, n)
