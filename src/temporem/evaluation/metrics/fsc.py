"""Fourier shell correlation of every frame's volume with the true one, with its resolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from temporem.evaluation.case import Pair
from temporem.evaluation.evaluation import Arrays, Evaluation
from temporem.evaluation.masks import MOVING, WHOLE_BOX
from temporem.evaluation.metrics.metric import FrameMetric, Score
from temporem.evaluation.sample import Sample, Statistic
from temporem.physics.fsc import (
    Resolution,
    area_under_curve,
    fourier_shell_correlation,
    resolution,
)

_RESOLUTION = Score(
    "resolution_angstrom",
    "Resolution",
    "Mean over frames of box · pixel size / s, s the first shell at which the FSC of V with T "
    "falls below 0.5, linear between shells; Nyquist where it never does.",
    unit="Å",
    direction=-1,
    digits=2,
    ranks={WHOLE_BOX: 1},
    phrase="resolves the frames to {value} on average",
)
_MEAN_CURVE = Score(
    "mean_fsc_resolution_angstrom",
    "Resolution of the mean FSC",
    "Resolution of the mean over frames of the FSC curves.",
    unit="Å",
    direction=-1,
    digits=2,
)
_AREA = Score(
    "auc",
    "FSC area",
    "Mean over frames of the mean of the FSC over shells 1 to box/2 − 1; at most 1.",
    ranks={WHOLE_BOX: 2, MOVING: 3},
    noun="FSC area",
)
_IMPROVED = Score(
    "fraction_improved",
    "Frames improved",
    "Share of frames with f > 0, where f = (res_a − res_b) / res_a (Eq. 16 of the TEMPOR paper).",
    unit="%",
    digits=1,
    factor=100,
    ranks={WHOLE_BOX: 1},
)
_TIED = Score(
    "fraction_tied",
    "Frames tied",
    "Share of frames with f = 0, as where both curves never fall below the threshold.",
    unit="%",
    direction=0,
    digits=1,
    factor=100,
)
_MEAN_GAIN = Score(
    "mean_gain",
    "Mean resolution gain",
    "Mean over frames of f = (res_a − res_b) / res_a.",
    unit="%",
    digits=2,
    factor=100,
    ranks={WHOLE_BOX: 1},
    noun="resolution",
)
_MEAN_CURVE_GAIN = Score(
    "mean_fsc_resolution_angstrom",
    "Gain of the mean FSC",
    "Resolution of a's mean FSC curve less that of b's.",
    unit="Å",
)
_AREA_GAIN = Score(
    "auc",
    "FSC area",
    "Mean over frames of b's FSC area less a's.",
    digits=4,
    ranks=_AREA.ranks,
    noun=_AREA.noun,
)


class FrameFsc(FrameMetric):
    """FSC of every frame by region."""

    name = "fsc"
    title = "Fourier shell correlation"
    scores = (_RESOLUTION, _MEAN_CURVE, _AREA)
    gains = (_IMPROVED, _TIED, _MEAN_GAIN, _MEAN_CURVE_GAIN, _AREA_GAIN)
    arrays: ClassVar = {"curves": ("f", "frames", "shells")}
    by_region = True

    def measure(self, pair: Pair) -> Mapping[str, np.ndarray]:
        """FSC curves ``(B, n_shells)``."""
        curves = fourier_shell_correlation(pair.volumes, pair.truth, pair.case.support)
        return {"curves": curves.float().numpy()}

    def per_frame(self, arrays: Arrays, evaluation: Evaluation) -> Arrays:
        """Resolution and area of every frame, and whether its curve never falls below 0.5."""
        angstrom, never_crossed = read_resolution(arrays["curves"], evaluation)
        area = area_under_curve(arrays["curves"])
        return {"resolution_angstrom": angstrom, "never_crossed": never_crossed, "auc": area}

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Means over frames, and the resolution of the mean curve."""
        frames = self.per_frame(arrays, sample.evaluation)
        return {
            "resolution_angstrom": sample.mean(frames["resolution_angstrom"]),
            "mean_fsc_resolution_angstrom": _of_mean_curve(arrays, sample),
            "auc": sample.mean(frames["auc"]),
        }

    def paired(self, a: Arrays, b: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Eq. 16 of the paper, and the gains of area and of the mean curve."""
        first, second = (self.per_frame(arrays, sample.evaluation) for arrays in (a, b))
        gain = improvement(first["resolution_angstrom"], second["resolution_angstrom"])
        improved, mean_gain = sample.mean(gain > 0), sample.mean(gain)
        detail = (
            f"{100 * improved.value:.1f}% of frames finer, mean gain {100 * mean_gain.value:+.2f}%"
        )
        of_a, of_b = _of_mean_curve(a, sample), _of_mean_curve(b, sample)
        assert of_a.draws is not None
        assert of_b.draws is not None
        return {
            "fraction_improved": improved,
            "fraction_tied": sample.mean(gain == 0),
            "mean_gain": Statistic(mean_gain.value, mean_gain.draws, detail=detail),
            "mean_fsc_resolution_angstrom": Statistic(
                of_a.value - of_b.value, of_a.draws - of_b.draws
            ),
            "auc": sample.mean(second["auc"] - first["auc"]),
        }

    def details(self, arrays: Arrays, sample: Sample) -> dict[str, Any]:
        """Mean curve, its deviation, and how many curves never fall below the threshold."""
        chosen = arrays["curves"][sample.chosen]
        never_crossed = read_resolution(chosen, sample.evaluation).never_crossed
        return {
            "n_never_crossed": int(never_crossed.sum()),
            "mean_curve": chosen.mean(0, dtype=np.float64).tolist(),
            "sd_curve": chosen.std(0, dtype=np.float64).tolist(),
        }


FSC = FrameFsc()


def improvement(reference_angstrom: np.ndarray, angstrom: np.ndarray) -> np.ndarray:
    """Relative gain of resolution over a reference (TEMPOR Eq. 16)."""
    return (reference_angstrom - angstrom) / reference_angstrom


def resolution_gains(a: Evaluation, b: Evaluation) -> np.ndarray:
    """Eq. 16 of every frame in the whole box, ``(n,)``: a is the reference."""
    return improvement(
        *(read_resolution(run["fsc"][WHOLE_BOX]["curves"], run).angstrom for run in (a, b))
    )


def read_resolution(curves: np.ndarray, evaluation: Evaluation) -> Resolution:
    """Resolution of FSC curves ``(..., n_shells)`` by the threshold of an evaluation."""
    return resolution(curves, evaluation.settings.fsc_threshold, evaluation.pixel_size_angstrom)


def _of_mean_curve(arrays: Arrays, sample: Sample) -> Statistic:
    curves, evaluation = arrays["curves"], sample.evaluation
    mean = curves[sample.chosen].mean(0, dtype=np.float64)
    draws = sample.bootstrap.means(curves[sample.chosen])
    return Statistic(
        float(read_resolution(mean, evaluation).angstrom),
        read_resolution(draws, evaluation).angstrom,
    )
