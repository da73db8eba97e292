"""A hinge that was found, against the true one: errors that were planted are measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from temporem.evaluation.hinge import score_hinge
from temporem.physics.rotations import rotation_about_axis
from temporem.runs.run import Run, load_run
from temporem.simulation.truth import Truth, read_truth
from temporem.structures.motions.base import conformations
from temporem.volumes.cloud_motion import CloudMotion, measure_motion


class TrueCloud:
    """The atoms of the truth, of which every 5th is a point; the latent is the angle over 30°."""

    def __init__(
        self, truth: Truth, rotation: Tensor | None = None, mirrored: bool = False
    ) -> None:
        self.truth = truth
        self.linear = torch.eye(3, dtype=torch.float64) if rotation is None else rotation
        self.linear = -self.linear if mirrored else self.linear
        self.weights = torch.ones(len(truth.motion.molecule), dtype=torch.float64)[::5]

    def positions(self, z: Tensor) -> Tensor:
        atoms = conformations(self.truth.motion, 30 * z.double())[:, ::5]
        return atoms @ self.linear.mT / self.truth.config.pixel_size_angstrom


@pytest.fixture
def run(tiny_runs: dict[str, Path]) -> Run:
    return load_run(tiny_runs["tempor"])


@pytest.fixture
def truth(tiny_dataset: Path) -> Truth:
    return read_truth(tiny_dataset)


def motion(cloud: TrueCloud, z: Tensor) -> CloudMotion:
    covariance = torch.full((len(z), 1, 1), 1e-3)
    return measure_motion(cloud, z, covariance, cloud.truth.config.pixel_size_angstrom, samples=20)


def test_truth_has_no_error(run: Run, truth: Truth, tiny_dataset: Path) -> None:
    z = truth.parameters.float() / 30
    score = score_hinge(run, motion(TrueCloud(truth), z), tiny_dataset)
    assert score is not None
    assert score.axis_error_degrees < 0.1
    assert score.axis_distance_angstrom < 0.5
    assert score.angle_rms_degrees < 0.5  # atoms beside the axis are hardly of one body
    assert score.slope == pytest.approx(1, abs=0.02)
    assert score.coverage == 1
    assert score.range_degrees == pytest.approx(score.true_range_degrees, rel=0.02)


def test_errors_are_measured(run: Run, truth: Truth, tiny_dataset: Path) -> None:
    """Angles that shrink, in a reference frame that is turned by 7° against the poses."""
    angles = truth.parameters.float()
    tilt = rotation_about_axis(
        torch.tensor([1.0, 0, 0]).double(), torch.tensor(7.0).double().deg2rad()
    )
    cloud = TrueCloud(truth, tilt)
    found = motion(cloud, 0.8 * angles / 30)
    score = score_hinge(run, found, tiny_dataset)
    assert score is not None
    axis = truth.motion.axis_direction  # type: ignore[attr-defined]
    expected = float(torch.rad2deg(torch.arccos((axis @ tilt @ axis).abs())))
    assert score.axis_error_degrees == pytest.approx(expected, abs=0.1)
    assert score.slope == pytest.approx(0.8, abs=0.02)
    rms = 0.2 * float(angles.std(correction=0))
    assert score.angle_rms_degrees == pytest.approx(rms, rel=0.1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_found_poses_change_nothing(
    mirrored: bool, run: Run, truth: Truth, tiny_dataset: Path
) -> None:
    """A run in another reference frame, also of the other hand, is compared in that frame."""
    rotation = rotation_about_axis(
        torch.tensor([1.0, 2, 3]).double(), torch.tensor(1.0, dtype=torch.float64)
    )
    beam = torch.diag(torch.tensor([-1.0, -1, 1], dtype=torch.float64))
    rotations = truth.poses.rotations.double() @ rotation.mT
    rotations = beam @ rotations if mirrored else rotations
    poses = replace(truth.poses, rotations=rotations.to(truth.poses.rotations))
    config = run.config.model_copy(
        update={"poses": run.config.poses.model_copy(update={"source": "refine"})}
    )
    other = replace(run, poses=poses, config=config)
    cloud = TrueCloud(truth, rotation, mirrored)
    score = score_hinge(other, motion(cloud, truth.parameters.float() / 30), tiny_dataset)
    assert score is not None
    assert score.axis_error_degrees < 0.1
    assert score.angle_rms_degrees < 0.5
    assert score.axis_distance_angstrom < 0.5


def test_no_hinge_has_no_score(run: Run, truth: Truth, tiny_dataset: Path) -> None:
    still = motion(TrueCloud(truth), torch.zeros(len(truth.parameters), 1))
    assert score_hinge(run, still, tiny_dataset) is None
