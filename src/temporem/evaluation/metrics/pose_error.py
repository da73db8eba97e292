"""Errors of found poses, after the alignment that images leave open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from temporem.evaluation.case import Case
from temporem.evaluation.evaluation import Arrays
from temporem.evaluation.metrics.metric import NO_PLACE, Metric, Ready, Score
from temporem.evaluation.sample import Sample, Statistic
from temporem.evaluation.settings import EvaluationSettings

CLOSE_DEGREES = 10.0
"""A pose within this angle of the true one counts as found."""


class PoseError(Metric):
    """Errors of poses that a run found."""

    name = "poses"
    title = "Poses"
    scores = (
        Score(
            "median_degrees",
            "Pose error, median",
            "Median over frames of the angle between estimated and true pose, after one rotation, "
            "displacement and hand for all frames.",
            unit="°",
            direction=-1,
            digits=2,
            ranks={NO_PLACE: 7},
            phrase="has a median pose error of {value}",
            noun="pose error",
        ),
        Score(
            "within_10_degrees",
            f"Poses within {CLOSE_DEGREES:g}°",
            f"Share of frames whose angle is below {CLOSE_DEGREES:g}°.",
            unit="%",
            digits=2,
            factor=100,
        ),
        Score(
            "median_shift_angstrom",
            "Shift error, median",
            "Median over frames of the distance in the image between estimated and true "
            "displacement, after the same alignment.",
            unit="Å",
            direction=-1,
            digits=2,
        ),
    )
    arrays: ClassVar = {
        "angle_degrees": ("f", "frames"),
        "shift_angstrom": ("f", "frames"),
        "mirrored": ("b",),
        "other_hand_degrees": ("f",),
        "rotation": ("f", 3, 3),
        "offset_angstrom": ("f", 3),
    }

    def begin(self, case: Case) -> Ready | None:
        """Take the errors; None if poses are the true ones."""
        if case.known.poses is None:
            return None
        errors = case.known.poses.agreement
        return Ready({NO_PLACE: {name: np.asarray(getattr(errors, name)) for name in self.arrays}})

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Medians, and the share of frames found."""
        close = sample.mean(arrays["angle_degrees"] < CLOSE_DEGREES)
        return {
            "median_degrees": sample.median(arrays["angle_degrees"]),
            "within_10_degrees": Statistic(close.value, close.draws),
            "median_shift_angstrom": sample.median(arrays["shift_angstrom"]),
        }

    def details(self, arrays: Arrays, sample: Sample) -> dict[str, Any]:
        """The alignment: ``r ↦ ±G r + t`` takes the truth into the reference frame of the run."""
        pixel = sample.evaluation.pixel_size_angstrom
        shift = float(np.median(arrays["shift_angstrom"][sample.chosen]))
        alignment = ("mirrored", "other_hand_degrees", "rotation", "offset_angstrom")
        return {
            "align": sample.evaluation.settings.align,
            "median_shift_pixels": shift / pixel,
            "alignment": {name: arrays[name].tolist() for name in alignment},
        }

    def note(self, settings: EvaluationSettings) -> str:
        """States may be aligned one by one."""
        return "each state aligned" if settings.align == "states" else ""


POSE_ERROR = PoseError()
