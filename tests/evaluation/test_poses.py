"""Alignment of estimated poses: what images leave open is found exactly, wrong poses or not."""

import dataclasses

import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.evaluation.api import evaluate
from temporem.evaluation.compare import compare
from temporem.evaluation.metrics.pose_conformation_coupling import coupling_of
from temporem.evaluation.poses import into_frame, pose_agreement, same_poses
from temporem.evaluation.resampling import BootstrapSettings, MovieBootstrap
from temporem.evaluation.settings import EvaluationSettings
from temporem.evaluation.state_alignment import AlignedStates
from temporem.evaluation.storage import load_evaluation, save_evaluation
from temporem.evaluation.summary import summarise
from temporem.evaluation.values import value_of
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.poses import Poses
from temporem.physics.rigid_transform import RigidTransform
from temporem.physics.rotations import geodesic_degrees, random_rotations, rotation_about_axis
from temporem.physics.structure_factors import FormFactor, structure_factors
from temporem.poses.alignment import align_poses
from temporem.report.tables import metrics_table
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import read_truth

N = 60
GENERATOR = torch.Generator().manual_seed(3)
TRUE = Poses(
    random_rotations(N, GENERATOR),
    3 * torch.randn(N, 2, generator=GENERATOR, dtype=torch.float64),
)
TURN = random_rotations(1, GENERATOR)[0]
OFFSET = torch.tensor([2.0, -3.0, 1.5], dtype=torch.float64)


def estimate(mirrored: bool) -> tuple[Poses, RigidTransform]:
    """Poses of a perfect reconstruction that is turned, displaced and perhaps mirrored."""
    change = RigidTransform(TURN, mirrored, OFFSET)
    about_beam = torch.diag(torch.tensor([-1.0, -1, 1], dtype=torch.float64))
    rotations = (about_beam if mirrored else torch.eye(3).double()) @ TRUE.rotations @ TURN.mT
    return Poses(rotations, TRUE.shifts_angstrom - (rotations @ OFFSET)[:, :2]), change


@pytest.mark.parametrize("mirrored", [False, True])
def test_moved_and_mirrored_molecule_has_the_same_images(mirrored: bool) -> None:
    poses, change = estimate(mirrored)
    atoms = 8 * torch.randn(7, 3, generator=GENERATOR, dtype=torch.float64)
    model = ForwardModel(16, 3.0)
    factor = [FormFactor(torch.tensor([1.0]), torch.tensor([200.0]))]
    element = torch.zeros(7, dtype=torch.long)

    def images(points: torch.Tensor, poses: Poses) -> torch.Tensor:
        turned = points @ poses.rotations.mT
        slices = structure_factors(turned, element, factor, model.support, 3.0)
        return slices * model.shift_phase(poses.shifts_angstrom)

    moved = images(atoms @ change.linear.mT + change.shift_angstrom, poses)
    torch.testing.assert_close(moved, images(atoms, TRUE), atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("mirrored", [False, True])
def test_alignment_is_exact_though_a_third_of_the_poses_is_wrong(mirrored: bool) -> None:
    poses, change = estimate(mirrored)
    poses.rotations[::3] = random_rotations(len(poses[::3]), GENERATOR)
    poses.shifts_angstrom[1::5] += 20
    found, other = align_poses(poses, TRUE)
    assert found.mirrored == mirrored
    assert geodesic_degrees(found.rotation, change.rotation) < 0.01
    torch.testing.assert_close(found.shift_angstrom, OFFSET, atol=0.05, rtol=0)
    assert other > 60
    agreement, _ = pose_agreement(poses, TRUE)
    right = np.arange(N) % 3 != 0
    assert agreement.angle_degrees[right].max() < 0.01
    assert np.median(agreement.angle_degrees[~right]) > 60
    assert agreement.shift_angstrom[right & (np.arange(N) % 5 != 1)].max() < 0.05


def test_errors_are_angles_and_do_not_depend_on_the_frame() -> None:
    axes = torch.randn(N, 3, generator=GENERATOR, dtype=torch.float64)
    off = rotation_about_axis(axes, torch.full((N,), np.deg2rad(4.0), dtype=torch.float64))
    poses, _ = estimate(True)
    plain, turned = (
        pose_agreement(Poses(off @ found.rotations, found.shifts_angstrom), TRUE)[0]
        for found in (TRUE, poses)
    )
    assert np.median(plain.angle_degrees) == pytest.approx(4, abs=0.3)
    assert np.median(turned.angle_degrees) == pytest.approx(4, abs=0.3)
    assert not plain.mirrored
    assert turned.mirrored
    assert same_poses(TRUE, TRUE)
    assert not same_poses(poses, TRUE)


def test_pictures_are_turned_into_the_frame_of_the_truth() -> None:
    """Blobs at G r + t, or −G r + t, come back to r."""
    box, pixel = 24, 2.0
    axis = (torch.arange(box) - box // 2) * pixel
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.tensor([[10.0, 0, 0], [0, 6, 4], [-4, -6, 0]], dtype=torch.float64)
    heights = (1.0, 2.0, 3.0)

    def volume(at: torch.Tensor) -> np.ndarray:
        return sum(
            h * (-((x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2) / 30).exp()
            for h, p in zip(heights, at, strict=True)
        ).numpy()

    for mirrored in (False, True):
        change = RigidTransform(TURN, mirrored, OFFSET)
        moved = volume(points @ change.linear.mT + OFFSET)
        back = into_frame(moved[None], change, pixel)[0]
        np.testing.assert_allclose(back, volume(points), atol=0.02)


def test_a_perfect_reconstruction_is_perfect_in_whatever_frame(tmp_path) -> None:
    options = ["movies=3", "frames_per_movie=4", "box=16", "pixel_size_angstrom=8"]
    simulate(load_simulation_config("toy", options), tmp_path / "data")
    truth = read_truth(tmp_path / "data")
    support = FourierSupport(16, 3)
    assert support.frequencies.equal(truth.support.frequencies)
    about_beam = torch.diag(torch.tensor([-1.0, -1, 1], dtype=torch.float64))
    change = RigidTransform(TURN, True, OFFSET)
    rotations = about_beam @ truth.poses.rotations @ TURN.mT
    poses = Poses(rotations, truth.poses.shifts_angstrom - (rotations @ OFFSET)[:, :2])
    source = truth.placed(change.linear, change.shift_angstrom)
    result = evaluate(source, truth, poses=poses)
    assert result["fsc"]["unmasked"]["curves"].min() > 0.999
    assert value_of(result, "motion", "correlation", "unmasked") > 0.999
    unmoved = evaluate(truth, truth)
    np.testing.assert_allclose(result.truth_power, unmoved.truth_power)
    assert not unmoved["poses"]
    assert summarise(unmoved)["poses"] is None

    summary = summarise(result)
    assert summary["poses"]["median_degrees"]["value"] < 0.01
    assert summary["poses"]["within_10_degrees"]["value"] == 1
    assert summary["poses"]["median_shift_pixels"] < 0.01
    assert summary["poses"]["alignment"]["mirrored"]
    save_evaluation(result, tmp_path)
    loaded = load_evaluation(tmp_path)
    angle = result["poses"][""]["angle_degrees"]
    np.testing.assert_array_equal(loaded["poses"][""]["angle_degrees"], angle)
    assert summarise(loaded) == summary
    coupling = coupling_of(result)
    assert coupling is not None
    assert coupling.state_n_frames.tolist() == [3] * 4
    assert np.isnan(coupling.error_r2)  # no latents
    assert summary["pose_conformation_coupling"]["systematic_degrees"]["value"] < 0.01
    assert dataclasses.asdict(loaded.settings) == dataclasses.asdict(EvaluationSettings())


@pytest.mark.integration
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_state_may_be_in_a_frame_of_its_own(mirrored: bool, tmp_path) -> None:
    """Perfect but for a turn and a displacement that go with the state, which no image tells."""
    config = load_simulation_config("toy", ["movies=12", "box=16", "pixel_size_angstrom=8"])
    simulate(config, tmp_path / "movies")
    truth = read_truth(tmp_path / "movies")
    rotations, shifts = map(torch.empty_like, (truth.poses.rotations, truth.poses.shifts_angstrom))
    about_beam = torch.diag(torch.tensor([-1.0, -1, 1], dtype=torch.float64))
    hand = about_beam if mirrored else torch.eye(3, dtype=torch.float64)
    axis = torch.tensor([0.3, 1.0, -0.5], dtype=torch.float64)
    moved = {}
    for state in np.unique(truth.states):
        turn = rotation_about_axis(axis, torch.tensor(0.07 * state - 0.3).double()) @ TURN
        offset = OFFSET + state * torch.tensor([1.0, -0.5, 0.2]).double()
        change = RigidTransform(turn, mirrored, offset)
        rows = truth.states == state
        rotations[rows] = hand @ truth.poses.rotations[rows] @ turn.mT
        shifts[rows] = truth.poses.shifts_angstrom[rows] - (rotations[rows] @ offset)[:, :2]
        moved[state] = truth.placed(change.linear, offset)

    class Source:
        def volumes(self, rows: np.ndarray) -> torch.Tensor:
            return torch.cat([moved[truth.states[row]].volumes([row]) for row in rows])

    together, apart = (
        evaluate(Source(), truth, poses=Poses(rotations, shifts), every=3, align=align)
        for align in ("all", "states")
    )
    assert together["fsc"]["unmasked"]["curves"][:, 1:].mean() < 0.95
    assert value_of(together, "poses", "median_degrees") > 5
    assert apart["fsc"]["unmasked"]["curves"][:, 1:].min() > 0.999
    assert value_of(apart, "motion", "correlation", "unmasked") > 0.999
    errors = apart["poses"][""]
    assert errors["angle_degrees"].max() < 1e-3
    assert errors["shift_angstrom"].max() < 1e-3
    assert errors["mirrored"] == mirrored
    # The coupling is always that of one alignment.
    for name, array in apart["pose_conformation_coupling"][""].items():
        np.testing.assert_array_equal(array, together["pose_conformation_coupling"][""][name])
    save_evaluation(apart, tmp_path)
    assert load_evaluation(tmp_path).settings.align == "states"
    labels = [[row.label for row in metrics_table({"": e}).rows] for e in (together, apart)]
    assert ["Pose error, median (°)" in names for names in labels] == [True, False]
    assert "Pose error, median, each state aligned (°)" in labels[1]
    with pytest.raises(TemporemError, match="evaluated with different settings"):
        compare(together, apart)


def test_states_of_few_frames_are_not_aligned_by_themselves(tmp_path) -> None:
    config = load_simulation_config("toy", ["movies=2", "box=16", "pixel_size_angstrom=8"])
    simulate(config, tmp_path / "movies")
    truth = read_truth(tmp_path / "movies")
    poses = Poses(truth.poses.rotations.roll(1, 0), truth.poses.shifts_angstrom)
    with pytest.raises(TemporemError, match=r"10 of at least 2 frames; expected .* of 10 frames"):
        AlignedStates(truth, poses, mirrored=False)


def test_medians_of_samples_are_those_of_the_frames_drawn() -> None:
    group = np.repeat(np.arange(5), 3)
    values = np.random.default_rng(0).normal(size=15)
    bootstrap = MovieBootstrap(group, BootstrapSettings(samples=20))
    for weights, median in zip(bootstrap.weights, bootstrap.medians(values), strict=True):
        drawn = np.repeat(values, weights[group])
        assert median == np.sort(drawn)[(len(drawn) - 1) // 2]
