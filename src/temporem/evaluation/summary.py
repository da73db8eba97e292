"""Summary of an evaluation: plain numbers under plain names."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from temporem.evaluation.evaluation import Arrays, Evaluation
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.metric import NO_PLACE, Metric
from temporem.evaluation.sample import Sample


def summarise(evaluation: Evaluation) -> dict[str, Any]:
    """Summarise all numbers for JSON; NaN and infinity become None.

    Every metric has a section by its name, None where it was not measured. A section has an entry
    for each place, and that one for each score: ``{"value", "ci", …}``. A metric without places,
    or with one score of its own name, has one level less. ``held_out`` repeats the sections over
    held-out movies; it is None where there are none.
    """
    held_out = evaluation.frames.held_out
    return finite(
        {
            "n_frames": len(evaluation.frames),
            "n_movies": len(np.unique(evaluation.frames.movie)),
            "n_left_out": evaluation.n_left_out,
            "box": evaluation.box,
            "pixel_size_angstrom": evaluation.pixel_size_angstrom,
            "nyquist_angstrom": 2 * evaluation.pixel_size_angstrom,
            **{
                name: _section(metric, evaluation, Sample(evaluation))
                for name, metric in METRICS.items()
            },
            "held_out": _held_out(evaluation) if held_out.any() else None,
            "masks": {"voxel_fraction": dict(evaluation.mask_fractions)},
            "definitions": definitions(evaluation),
        }
    )


def finite(value: Any) -> Any:
    """A nested value with every NaN and infinite number replaced by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def definitions(evaluation: Evaluation) -> dict[str, Any]:
    """Definition of every number, mask and interval."""
    masks = asdict(evaluation.settings.masks)
    return {
        **{name: score_definitions(metric) for name, metric in METRICS.items()},
        "masks": {
            "settings_voxels": masks,
            "particle": "mean true volume: Gaussian low-pass, threshold, dilation, soft edge",
            "moving": "standard deviation over frames of the low-passed true volumes: threshold, "
            "dilation, soft edge",
        },
        "ci": {
            "method": "percentile bootstrap over movies",
            "groups": len(np.unique(evaluation.frames.groups)),
        },
    }


def score_definitions(metric: Metric) -> dict[str, str]:
    """The definitions of a metric's scores by name."""
    return {score.name: score.definition for score in metric.scores}


def _held_out(evaluation: Evaluation) -> dict[str, Any]:
    chosen = evaluation.frames.held_out
    sample = Sample(evaluation, chosen)
    return {
        "n_frames": int(chosen.sum()),
        "n_movies": len(np.unique(evaluation.frames.movie[chosen])),
        **{
            name: _section(metric, evaluation, sample)
            for name, metric in METRICS.items()
            if metric.of_frames
        },
    }


def _section(metric: Metric, evaluation: Evaluation, sample: Sample) -> dict[str, Any] | None:
    """Section of one metric in ``evaluation.json``."""
    by_place = {
        place: _entries(metric, arrays, sample) for place, arrays in evaluation[metric.name].items()
    }
    if list(by_place) == [NO_PLACE]:
        return by_place[NO_PLACE]
    return by_place or None


def _entries(metric: Metric, arrays: Arrays, sample: Sample) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name, statistic in metric.statistics(arrays, sample).items():
        entries[name] = {"value": statistic.value}
        if statistic.draws is not None:
            entries[name]["ci"] = sample.interval(statistic)
        entries[name] |= statistic.more
    if list(entries) == [metric.name]:
        return entries[metric.name] | metric.details(arrays, sample)
    return entries | metric.details(arrays, sample)
