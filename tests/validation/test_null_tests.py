"""Null tests: what a molecule that stands still would look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.blobs import amplitude_movies, simulate_blobs
from helpers.null_facts import null_facts
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.linear.dynamics import Dynamics
from temporem.linear.half_scores import UnseenMovies
from temporem.physics.poses import Poses
from temporem.physics.rotations import rotation_of_vector
from temporem.poses.errors import measure_pose_errors
from temporem.validation.null_facts import (
    DirectionFacts,
    NullFacts,
    OrderFacts,
    SimulatedFacts,
)
from temporem.validation.null_tests import Pairs, direction_of_time, null_tests, odd_under_reversal
from temporem.validation.still_molecule import still_molecule

ALL = torch.ones(12, 8).bool()
TIMES = torch.arange(8).double().expand(12, 8)


def latents(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(12, 8, 2, generator=generator, dtype=torch.float64)


def halves(z: torch.Tensor) -> list[UnseenMovies]:
    """Movies whose frames alone tell these latents."""
    eye = 1e6 * torch.eye(2, dtype=torch.float64).expand(*z.shape[:2], 2, 2)
    dynamics = Dynamics.initial(2, temporal=True)
    return [UnseenMovies(eye, 1e6 * z, ALL, TIMES, dynamics)] * 2


def still_blobs(seed: int, pose_error_degrees: float = 0.0) -> Dataset:
    """Movies of a molecule that does not move, in poses that may be off."""
    data = simulate_blobs([5] * 40, snr=1.0, arc_degrees=0.0, seed=seed).dataset
    generator = torch.Generator().manual_seed(seed + 1)
    turns = torch.randn(data.n_frames, 3, generator=generator, dtype=torch.float64)
    turns *= np.deg2rad(pose_error_degrees) / 3**0.5
    rotations = rotation_of_vector(turns) @ data.poses.rotations
    return data.with_poses(Poses(rotations, data.poses.shifts_angstrom))


def prepared(data: Dataset) -> Frames:
    return prepare_frames(data, DataSettings(), data.movies, torch.device("cpu"))


def test_what_is_odd_changes_its_sign_when_movies_run_backwards() -> None:
    z = latents()
    forward, backward = (
        odd_under_reversal(z, ALL, TIMES),
        odd_under_reversal(z.flip(1), ALL, TIMES),
    )
    assert forward.shape == (12, 3)
    np.testing.assert_allclose(backward, -forward)


def test_direction_shows_in_a_drift_and_in_a_circle_and_not_at_equilibrium() -> None:
    z = latents()
    assert direction_of_time(halves(z), 0) > 0.05
    drift = z + 0.3 * TIMES[..., None] * torch.tensor([1.0, 0.0])
    assert direction_of_time(halves(drift), 0) < 0.01
    angle = TIMES + latents(1)[:, :1, 0]
    circle = torch.stack([angle.cos(), angle.sin()], dim=-1)
    assert direction_of_time(halves(circle + 0.2 * z), 0) < 0.01


def test_p_values_of_reversible_movies_are_uniform() -> None:
    found = np.array([direction_of_time(halves(latents(seed)), seed) for seed in range(60)])
    assert 0.35 < found.mean() < 0.65
    assert (found < 0.2).mean() < 0.4


def test_still_molecule_has_the_mean_volume_of_the_dataset() -> None:
    frames = prepared(still_blobs(0))
    noise = torch.ones(9)
    still = still_molecule(frames, noise, window_radius=0.9, errors=None, seed=0)
    assert still.angle_degrees == still.shift_angstrom == 0
    mean = frames.statistics.mean_volume.volume.flatten()
    assert torch.corrcoef(torch.stack([mean, still.volume.flatten()]))[0, 1] > 0.9
    drawn, again = still.draw(3), still.draw(4)
    rows = np.arange(len(frames))
    images, ctf = drawn.source.take(rows)
    assert (ctf == frames.source.take(rows)[1]).all()
    difference = images - again.source.take(rows)[0]  # the signal is the same
    assert difference.abs().square().mean() == pytest.approx(2, rel=0.05)


def test_errors_of_poses_are_those_that_were_made() -> None:
    """Six degrees blur the mean, and a blurred mean hides turns. Both are undone."""
    frames = prepared(still_blobs(0, pose_error_degrees=12))
    measured = measure_pose_errors(frames)
    assert measured is not None
    still = still_molecule(frames, torch.ones(9), window_radius=0.9, errors=measured, seed=0)
    assert 8 < still.angle_degrees < 16


@pytest.mark.integration
def test_a_still_molecule_is_found_still_and_a_moving_one_moves() -> None:
    still = null_tests(still_blobs(0), sets=19)
    assert not still.moves
    assert still.order is None
    moving, _ = amplitude_movies(movies=16, length=6, memory=0.9, snr=1.0)
    kept: dict[str, Pairs] = {}
    found = null_tests(moving, sets=19, keep=lambda name, pairs: kept.update({name: list(pairs)}))
    assert found.finding == "moves in time"
    assert found.gain_interval[0] < found.gain < found.gain_interval[1]
    assert list(map(len, kept.values())) == [19] * len(kept)
    again = null_tests(moving, sets=19, known=lambda gain: kept)
    assert again == found
    none = {name: [(0.0, 0.0)] * 19 for name in kept}
    few = null_tests(moving, sets=19, most_frames=60, known=lambda gain: none)
    assert (few.n_movies, few.n_frames) == (10, 60)


def test_too_few_movies_or_sets_are_refused() -> None:
    data = simulate_blobs([6] * 4).dataset
    with pytest.raises(TemporemError, match="4 movies"):
        null_tests(data)
    with pytest.raises(TemporemError, match="5 simulated sets"):
        null_tests(data, sets=5)
    with pytest.raises(TemporemError, match="no poses"):
        null_tests(data.without_poses())


def simulated(gain: float = 0.0, agreement: float = 0.2, p: float = 0.048) -> SimulatedFacts:
    """Twenty sets; ``p`` is that of the statistic in which one of them is beyond the data."""
    return SimulatedFacts(
        gains=[0.0] * 19 + [gain],
        agreements=[0.2] * 19 + [agreement],
        p_gain=p if gain > 1 else 0.048,
        p_agreement=p if agreement > 0.6 else 0.048,
    )


FACTS = null_facts(
    simulated(),
    angle_degrees=3.0,
    shift_angstrom=0.5,
    poses=simulated(),
    order=OrderFacts(shuffled_gain=0.8, p=0.005),
    direction=DirectionFacts(p=0.4),
)


@pytest.mark.parametrize(
    ("changes", "finding", "says"),
    [
        ({}, "moves in time", "Motion found, and it shows in the order"),
        ({"order": OrderFacts(shuffled_gain=1.0, p=0.3)}, "moves", "another order"),
        ({"poses": simulated(gain=2.0, p=0.4)}, "poses", "off by 3.0° and 0.5 Å"),
        ({"still": simulated(agreement=0.7, p=0.4)}, "disagreement", "do not agree"),
        ({"still": simulated(gain=2.0, p=0.4)}, "still", "does not move would look like"),
    ],
)
def test_the_first_doubt_decides(changes: dict, finding: str, says: str) -> None:
    facts = FACTS.model_copy(update=changes)
    assert facts.finding == finding
    assert says in facts.verdict
    assert facts.moves == (facts.doubt == "")
    assert facts.verdict in facts.sentences()[0]


def test_a_direction_is_no_fault_but_is_explained() -> None:
    assert "the same" in FACTS.sentences()[-1]
    driven = replace_direction(0.001)
    assert "drifts or circles" in driven.sentences()[-1]


def replace_direction(p: float) -> NullFacts:
    return FACTS.model_copy(update={"direction": DirectionFacts(p=p)})


def test_poses_from_the_same_images_are_a_caution() -> None:
    facts = FACTS.model_copy(update={"poses_from_images": True})
    assert "Caution" in facts.sentences()[-1]
