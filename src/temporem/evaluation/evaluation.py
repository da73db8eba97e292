"""The result of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from temporem.evaluation.frames import EvaluatedFrames
from temporem.evaluation.settings import EvaluationSettings

Arrays = Mapping[str, np.ndarray]
"""Arrays of a metric in one place, by name."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Measurements of a reconstruction of n frames.

    ``evaluation["fsc"]["unmasked"]["curves"]`` is an array of one metric in one place: a region of
    the volumes, a parameter of the motion, or ``""`` for a metric that has no places.

    Attributes:
        settings: the choices behind the numbers.
        frames: which frames, of which movies.
        box: edge of the volumes, voxels.
        pixel_size_angstrom: voxel size, Å.
        results: arrays by metric and place.
        mask_fractions: mean of each mask over the box, by region.
        truth_power: mean power spectrum of the truth, ``(n_shells,)``: tells datasets apart.
        n_left_out: frames that were to be evaluated and have no volume.

    Example:
        >>> evaluation = tm.evaluate("tempor-run")
        >>> evaluation["fsc"]["unmasked"]["curves"].shape
        (1000, 32)
    """

    settings: EvaluationSettings
    frames: EvaluatedFrames
    box: int
    pixel_size_angstrom: float
    results: Mapping[str, Mapping[str, Arrays]]
    mask_fractions: Mapping[str, float]
    truth_power: np.ndarray
    n_left_out: int = 0

    def __getitem__(self, metric: str) -> Mapping[str, Arrays]:
        """The arrays of a metric by place; empty where it was not measured."""
        return self.results.get(metric, {})
