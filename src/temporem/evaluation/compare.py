"""The comparison of two runs on the same frames: the paper's Eq. 16 and its paired companions.

``f_t = (res_a(t) − res_b(t)) / res_a(t)``

Run a is the reference (``static`` in the paper), run b what should be better (``tempor``). Positive
values favour b throughout, in Å gained as in correlation gained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.resampling import MovieBootstrap
from temporem.evaluation.summary import finite
from temporem.physics.fsc import area_under_curve


class Estimate(NamedTuple):
    """A number with a bootstrap confidence interval over movies; NaN with a single movie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class RegionComparison:
    """Comparison of FSC measures in one region.

    Attributes:
        gain: ``f`` of every frame, ``(n,)``.
        fraction_improved: frames in which b is strictly better.
        fraction_tied: frames of exactly the same resolution, as where neither curve crosses.
        n_both_never_crossed: frames in which both reach Nyquist, which Eq. 16 calls a tie.
        mean_gain: mean of ``f``.
        mean_fsc_gain_angstrom: resolution of a's mean FSC curve less that of b's, Å.
        auc_gain: mean of AUC of b less that of a.
    """

    gain: np.ndarray
    fraction_improved: Estimate
    fraction_tied: float
    n_both_never_crossed: int
    mean_gain: Estimate
    mean_fsc_gain_angstrom: Estimate
    auc_gain: Estimate


@dataclass(frozen=True)
class MotionComparison:
    """Motion correlations of both runs in one region; the gain is b − a, paired by movie."""

    correlation_a: float
    correlation_b: float
    gain: Estimate


@dataclass(frozen=True)
class StateComparison:
    """FSC of states in one region: no interval, because the states are not a sample.

    Attributes:
        fraction_improved: states of whose FSC curve b has the greater area.
        auc_gain: mean over states of the area of b less that of a.
        resolution_gain: mean over states of ``(res_a − res_b) / res_a``.
    """

    fraction_improved: float
    auc_gain: float
    resolution_gain: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Run b against run a over n frames that both evaluate.

    Attributes:
        n_frames: n.
        regions: FSC measures by region name.
        motion: motion correlations by region name; empty where the truth is still.
        psnr_gain_db, ssim_gain: mean of b less that of a.
        states: FSC of true states by region name; empty where there are none.
    """

    n_frames: int
    regions: dict[str, RegionComparison]
    motion: dict[str, MotionComparison]
    psnr_gain_db: Estimate
    ssim_gain: Estimate
    states: dict[str, StateComparison]

    def summary(self) -> dict[str, Any]:
        """All but the per-frame gains, as JSON allows it; estimates are {value, low, high}."""
        return finite(
            {
                "n_frames": self.n_frames,
                "regions": {
                    name: {key: item for key, item in _named(region).items() if key != "gain"}
                    for name, region in self.regions.items()
                },
                "motion": {name: _named(motion) for name, motion in self.motion.items()},
                "psnr_gain_db": self.psnr_gain_db._asdict(),
                "ssim_gain": self.ssim_gain._asdict(),
                "states": {name: asdict(states) for name, states in self.states.items()},
            }
        )


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Compare two evaluations of the same frames by the same measures.

    Args:
        a: the reference, ``static`` in the paper.
        b: what should be better, ``tempor`` in the paper.

    Raises:
        TemporemError: the evaluations differ in dataset, frames or settings.
    """
    _check_comparable(a, b)
    bootstrap = MovieBootstrap(a.frames.groups, a.settings.bootstrap)

    def mean(values: np.ndarray) -> Estimate:
        values = np.asarray(values, dtype=np.float64)
        return Estimate(float(values.mean()), *bootstrap.interval(bootstrap.means(values)))

    motion = {}
    for name, sums in a.motion.items():
        first, second = float(sums.correlation()), float(b.motion[name].correlation())
        draws = b.motion[name].correlation(bootstrap.weights) - sums.correlation(bootstrap.weights)
        gain = Estimate(second - first, *bootstrap.interval(draws))
        motion[name] = MotionComparison(first, second, gain)
    return Comparison(
        n_frames=len(a.frames),
        regions={name: _compare_region(a, b, name, bootstrap, mean) for name in a.fsc},
        motion=motion,
        psnr_gain_db=mean(b.psnr_db - a.psnr_db),
        ssim_gain=mean(b.ssim - a.ssim),
        states=_compare_states(a, b),
    )


def improvement(reference_angstrom: np.ndarray, angstrom: np.ndarray) -> np.ndarray:
    """Eq. 16, the fraction by which resolution improves on a reference: ``(n,)``."""
    return (reference_angstrom - angstrom) / reference_angstrom


def _compare_region(
    a: Evaluation,
    b: Evaluation,
    name: str,
    bootstrap: MovieBootstrap,
    mean: Callable[[np.ndarray], Estimate],
) -> RegionComparison:
    (of_a, never_a), (of_b, never_b) = a.resolution(name), b.resolution(name)
    gain = improvement(of_a, of_b)

    def mean_fsc_gain(mean_a: np.ndarray, mean_b: np.ndarray) -> np.ndarray:
        return a.resolution_of(mean_a).angstrom - b.resolution_of(mean_b).angstrom

    draws = mean_fsc_gain(bootstrap.means(a.fsc[name]), bootstrap.means(b.fsc[name]))
    overall = mean_fsc_gain(*(run.fsc[name].mean(0, dtype=np.float64) for run in (a, b)))
    return RegionComparison(
        gain=gain,
        fraction_improved=mean(gain > 0),
        fraction_tied=float((gain == 0).mean()),
        n_both_never_crossed=int((never_a & never_b).sum()),
        mean_gain=mean(gain),
        mean_fsc_gain_angstrom=Estimate(float(overall), *bootstrap.interval(draws)),
        auc_gain=mean(b.auc(name) - a.auc(name)),
    )


def _compare_states(a: Evaluation, b: Evaluation) -> dict[str, StateComparison]:
    if a.states is None or b.states is None:
        return {}
    found = {}
    for name, curves in a.states.fsc.items():
        gain = area_under_curve(b.states.fsc[name]) - area_under_curve(curves)
        angstrom = [a.resolution_of(run.fsc[name]).angstrom for run in (a.states, b.states)]
        found[name] = StateComparison(
            fraction_improved=float((gain > 0).mean()),
            auc_gain=float(gain.mean()),
            resolution_gain=float(improvement(*angstrom).mean()),
        )
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
            f"the runs are not evaluated on the same frames ({len(a.frames)} and "
            f"{len(b.frames)}), or not with the same movies held out",
            hint=same,
        )
    if a.settings != b.settings:
        raise TemporemError(
            f"the runs are evaluated differently: {a.settings} and {b.settings}", hint=same
        )
    # The true volumes were computed twice, perhaps on two machines: equal but for rounding.
    if not np.allclose(a.truth_power, b.truth_power, rtol=1e-3, atol=1e-6 * a.truth_power.max()):
        raise TemporemError("the runs are evaluated against different true volumes", hint=same)


def _named(item: RegionComparison | MotionComparison) -> dict[str, Any]:
    values = {field.name: getattr(item, field.name) for field in fields(item)}
    return {k: v._asdict() if isinstance(v, Estimate) else v for k, v in values.items()}
