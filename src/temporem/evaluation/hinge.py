"""A hinge that a run found, against that of the simulated molecule."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.evaluation.api import alignment, require_made_from
from temporem.frames.readers import read_dataset
from temporem.physics.screw_axis import axis_distance, axis_error_degrees
from temporem.runs.run import Run
from temporem.simulation.truth import Truth, read_truth_of
from temporem.structures.motions.hinge import Hinge as TrueHinge
from temporem.volumes.cloud_motion import CloudMotion, Hinge


@dataclass(frozen=True)
class HingeScore:
    """Errors of the hinge that turns furthest, against the true one.

    Attributes:
        axis_error_degrees: angle between the two axes, without regard to their signs.
        axis_distance_angstrom: between the axes, at the level of the part that turns.
        angle_rms_degrees: root mean square error over frames, after the best constant is
            subtracted, because 0° is a matter of choice.
        range_degrees: found, from the 2nd to the 98th percentile of frames.
        true_range_degrees: between the same percentiles.
        slope: found turn for a true turn of 1, by least squares.
        coverage: part of the frames whose 90 % band holds the true angle.
    """

    axis_error_degrees: float
    axis_distance_angstrom: float
    angle_rms_degrees: float
    range_degrees: float
    true_range_degrees: float
    slope: float
    coverage: float

    def document(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


def score_hinge(run: Run, motion: CloudMotion, dataset: str | Path) -> HingeScore | None:
    """Compare the hinge of a run with the truth of its dataset; None if no body turns.

    Args:
        run: the run.
        motion: what moves in it.
        dataset: the simulated dataset that the run was made from.

    Raises:
        TemporemError: another dataset, no truth, or a truth without a part that turns.
    """
    movies = read_dataset(dataset)
    require_made_from(run, movies)
    truth = read_truth_of(movies)
    hinge = _true_hinge(truth, dataset)
    turning = [found for found in motion.hinges if found.turns]
    if not turning:
        return None
    found = max(turning, key=lambda one: one.angle_degrees.reach)
    return _score(run, truth, hinge, found)


def _true_hinge(truth: Truth, dataset: object) -> TrueHinge:
    if not isinstance(truth.motion, TrueHinge):
        raise TemporemError(
            f"the molecule of {dataset} moves by {truth.config.motion.kind}, which has no axis",
            expected="a truth with motion.kind=hinge, such as toy or 7bcq",
        )
    return truth.motion


def _score(run: Run, truth: Truth, hinge: TrueHinge, found: Hinge) -> HingeScore:
    direction, point = hinge.axis_direction, hinge.axis_point
    arm = hinge.molecule.positions_angstrom[hinge.moving].mean(0)
    change = alignment(run, truth)
    if change is not None:
        direction = change.rotation @ direction  # mirroring keeps the sense of a turn
        point = change.linear @ point + change.shift_angstrom
        arm = change.linear @ arm + change.shift_angstrom
    sign = -1.0 if direction @ found.axis.direction < 0 else 1.0
    band = found.angle_degrees
    true = sign * truth.parameters[:, 0].numpy()
    angle, low, high = (values.numpy() for values in (band.value, band.low, band.high))
    offset = _circular_mean(angle - true)
    true = angle - _around(angle - true - offset)  # in the turn that the run found, its zero too
    ends = np.quantile(true, (0.02, 0.98))
    return HingeScore(
        axis_error_degrees=axis_error_degrees(direction, found.axis.direction),
        axis_distance_angstrom=axis_distance(
            direction, point, found.axis.direction, found.axis.point, near=arm
        ),
        angle_rms_degrees=float(np.sqrt(np.mean((angle - true) ** 2))),
        range_degrees=band.reach,
        true_range_degrees=float(ends[1] - ends[0]),
        slope=_slope(true, angle),
        coverage=float(np.mean((low <= true) & (true <= high))),
    )


def _around(degrees: np.ndarray) -> np.ndarray:
    around: np.ndarray = (degrees + 180) % 360 - 180
    return around


def _circular_mean(degrees: np.ndarray) -> float:
    """Mean of angles: around their mean direction, so that it is exact for a small spread."""
    first = np.degrees(np.angle(np.exp(1j * np.radians(degrees)).mean()))
    return float(first + _around(degrees - first).mean())


def _slope(true: np.ndarray, found: np.ndarray) -> float:
    spread = float(np.var(true))
    return float(np.mean((true - true.mean()) * (found - found.mean())) / spread) if spread else 0.0
