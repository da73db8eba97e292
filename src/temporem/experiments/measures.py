"""The numbers of an experiment: by dataset, method and seed, and over the seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from temporem.errors import TemporemError
from temporem.evaluation.compare import Comparison, compare
from temporem.evaluation.masks import WHOLE_BOX
from temporem.evaluation.storage import SUMMARY_NAME, load_evaluation
from temporem.experiments.execute import TIME_NAME
from temporem.experiments.plan import Plan, ResultPart
from temporem.io.json_file import read_json_object

LEVEL = 0.95
"""Coverage of the intervals over seeds."""

MOVING = "moving"

_ANEW = "remove its folder and run again"


class Interval(NamedTuple):
    """A mean over seeds with Student's interval, NaN where there is one seed."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Measure:
    """One number of an evaluation.

    Attributes:
        label: with its unit.
        read: from ``evaluation.json``.
        sense: +1 where more is better, −1 where less is.
        digits: decimals to print.
    """

    label: str
    read: Callable[[Mapping[str, Any]], float | None]
    sense: int = 1
    digits: int = 3


@dataclass(frozen=True)
class Gain:
    """One number of a paired comparison with the baseline; positive is better.

    Attributes:
        label: with its unit.
        read: value and bootstrap interval over movies.
        digits: decimals to print.
    """

    label: str
    read: Callable[[Comparison], tuple[float, float, float]]
    digits: int = 2


@dataclass(frozen=True)
class Record:
    """A number of one seed.

    Attributes:
        dataset, method, seed: of what.
        measure: its label; of a gain with the baseline's name.
        value: None where the method has no such number.
        low, high: bootstrap interval over movies, of gains.
    """

    dataset: str
    method: str
    seed: int
    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None


def _at(*keys: str) -> Callable[[Mapping[str, Any]], float | None]:
    def read(summary: Mapping[str, Any]) -> float | None:
        item: Any = summary
        for key in keys:
            if not isinstance(item, Mapping) or item.get(key) is None:
                return None
            item = item[key]
        return _number(item)

    return read


def _number(item: object) -> float:
    if not isinstance(item, int | float) or isinstance(item, bool):
        raise TypeError
    return float(item)


def _parameter(key: str) -> Callable[[Mapping[str, Any]], float | None]:
    """Of the first true parameter."""

    def read(summary: Mapping[str, Any]) -> float | None:
        parameters = (summary.get("latents") or {}).get("parameters") or {}
        first: Mapping[str, Any] = next(iter(parameters.values()), {})
        return None if first.get(key) is None else _number(first[key])

    return read


MEASURES = (
    Measure("Motion correlation, whole box", _at("motion", WHOLE_BOX, "correlation")),
    Measure("Motion correlation, moving region", _at("motion", MOVING, "correlation")),
    Measure("FSC area, whole box", _at("fsc", WHOLE_BOX, "auc", "mean")),
    Measure("FSC area, moving region", _at("fsc", MOVING, "auc", "mean")),
    Measure(
        "Resolution, whole box (Å)", _at("fsc", WHOLE_BOX, "resolution_angstrom", "mean"), -1, 2
    ),
    Measure(
        "Resolution, moving region (Å)", _at("fsc", MOVING, "resolution_angstrom", "mean"), -1, 2
    ),
    Measure(
        "Resolution of the mean FSC (Å)",
        _at("fsc", WHOLE_BOX, "mean_fsc_resolution_angstrom"),
        -1,
        2,
    ),
    Measure("State FSC area, whole box", _at("states", "fsc", WHOLE_BOX, "auc", "mean")),
    Measure("State FSC area, moving region", _at("states", "fsc", MOVING, "auc", "mean")),
    Measure(
        "State resolution, whole box (Å)",
        _at("states", "fsc", WHOLE_BOX, "resolution_angstrom", "mean"),
        -1,
        2,
    ),
    Measure("PSNR (dB)", _at("image_quality", "psnr_db", "mean"), 1, 2),
    Measure("SSIM", _at("image_quality", "ssim", "mean")),
    Measure("Latent R²", _parameter("r2")),
    Measure("Latent |Spearman ρ|", _parameter("abs_spearman")),
    Measure("State accuracy", _at("latents", "states", "knn_accuracy")),
    Measure("State silhouette", _at("latents", "states", "silhouette")),
    Measure("Neighbourhood overlap", _at("latents", "states", "neighbourhood_overlap")),
    Measure("Pose error, median (°)", _at("poses", "median_degrees"), -1, 2),
    Measure("Poses within 10° (share)", _at("poses", "within_10_degrees")),
    Measure("Shift error, median (Å)", _at("poses", "median_shift_angstrom"), -1, 2),
    Measure("Turn common to a state (°)", _at("leakage", "systematic_degrees"), -1, 2),
)

TIMES = (
    Measure("Wall time (s)", _at("time", "seconds"), -1, 0),
    Measure("Processor time (s)", _at("time", "processor_seconds"), -1, 0),
)


def _estimate(region: str, key: str, factor: float) -> Callable[[Comparison], Any]:
    def read(comparison: Comparison) -> tuple[float, float, float]:
        value, low, high = getattr(comparison.regions[region], key)
        return factor * value, factor * low, factor * high

    return read


def _motion_gain(comparison: Comparison) -> tuple[float, float, float]:
    item = comparison.motion.get(WHOLE_BOX)
    return (math.nan, math.nan, math.nan) if item is None else item.gain


GAINS = (
    Gain("Frames improved (%)", _estimate(WHOLE_BOX, "fraction_improved", 100), 1),
    Gain("Mean resolution gain (%)", _estimate(WHOLE_BOX, "mean_gain", 100)),
    Gain("Gain of the mean FSC (Å)", _estimate(WHOLE_BOX, "mean_fsc_gain_angstrom", 1), 3),
    Gain("FSC area gain", _estimate(WHOLE_BOX, "auc_gain", 1), 4),
    Gain("Motion correlation gain", _motion_gain, 3),
)


def records(plan: Plan, baseline: str) -> list[Record]:
    """All numbers of all finished parts, one seed each, paired gains over the baseline among them.

    Raises:
        TemporemError: an evaluation that is damaged.
    """
    rows: list[Record] = []
    finished = [part for part in plan.results if part.finished]
    for part in finished:
        place = part.dataset.name, part.method, part.dataset.seed
        summary = read_summary(part)
        for measure in (*MEASURES, *TIMES):
            try:
                value = measure.read(summary)
            except (AttributeError, TypeError):
                raise TemporemError(
                    f"{part.folder / SUMMARY_NAME}: {measure.label} is not a number", hint=_ANEW
                ) from None
            rows.append(Record(*place, measure.label, value))
    references = {
        part.dataset.folder: load_evaluation(part.folder)
        for part in finished
        if part.method == baseline
    }
    for part in finished:
        reference = references.get(part.dataset.folder)
        if part.method == baseline or reference is None:
            continue
        place = part.dataset.name, part.method, part.dataset.seed
        comparison = compare(reference, load_evaluation(part.folder))
        for gain in GAINS:
            numbers = [x if math.isfinite(x) else None for x in gain.read(comparison)]
            rows.append(Record(*place, gain.label, *numbers))
    return rows


def read_summary(part: ResultPart) -> dict[str, Any]:
    """``evaluation.json`` of a part, with the times of its reconstruction where they are known."""
    summary = read_json_object(part.folder / SUMMARY_NAME, hint=_ANEW)
    time = part.folder / TIME_NAME
    times = read_json_object(time, hint=_ANEW) if time.is_file() else {}
    return {**summary, "time": times}


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
